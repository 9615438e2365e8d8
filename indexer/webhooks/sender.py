"""Posts to addresses that users gave, and lets them lead nowhere inside.

The host is looked up once for each connection; every address that it has is checked, and the connection goes
to the one that was checked, so a name that changes its address in between changes nothing. TLS still checks
the certificate for the name. Redirects are not followed, and environment variables for proxies not used.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

import httpcore

from indexer.webhooks.lookup import Lookups
from shared.http.authorities import trusted_authorities
from shared.settings import Settings
from shared.webhooks import AddressRefused, check_url, read_address, require_public

TIMEOUT_S: Final = 10.0
MAX_ANSWER_BYTES: Final = 64 << 10
KEPT_CONNECTIONS: Final = 16
KEPT_S: Final = 5.0
MAX_ERROR_CHARS: Final = 300

SocketOption = tuple[int, int, int] | tuple[int, int, bytes | bytearray] | tuple[int, int, None, int]


@dataclass(frozen=True, slots=True)
class Outcome:
    """The end of an attempt. status: of the answer, None without one. error: None if it arrived."""

    status: int | None
    error: str | None


class Sender:
    """A pooled client for webhooks."""

    def __init__(self, settings: Settings, tls: ssl.SSLContext | None = None) -> None:
        """tls: instead of the certificate authorities that the system trusts."""
        self._allows = {
            "allows_http": settings.webhooks_allow_http,
            "allows_private": settings.webhooks_allow_private,
        }
        self._lookups = Lookups()
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=tls or trusted_authorities(),
            max_connections=None,
            max_keepalive_connections=KEPT_CONNECTIONS,
            keepalive_expiry=KEPT_S,
            network_backend=CheckedNetwork(self._lookups, allows_private=settings.webhooks_allow_private),
        )

    async def post(self, url: str, headers: dict[str, str], body: bytes) -> Outcome:
        """Post the body. It arrived if a status of 2xx comes, with its body, within 10 s."""
        try:
            check_url(url, **self._allows)  # the settings may be stricter than when the webhook was added
            async with asyncio.timeout(TIMEOUT_S):
                return await self._post(url, headers, body)
        except AddressRefused as error:
            return Outcome(None, str(error))
        except TimeoutError:
            return Outcome(None, f"no whole answer within {TIMEOUT_S:.0f} s")
        except (httpcore.NetworkError, httpcore.ProtocolError, httpcore.TimeoutException, OSError) as error:
            return Outcome(None, f"{type(error).__name__}: {error}"[:MAX_ERROR_CHARS])

    async def _post(self, url: str, headers: dict[str, str], body: bytes) -> Outcome:
        sent = {**headers, "content-length": str(len(body))}
        async with self._pool.stream("POST", url, headers=list(sent.items()), content=body) as answer:
            await _read_some(answer)
            status = int(answer.status)
        if 200 <= status < 300:
            return Outcome(status, None)
        return Outcome(status, "redirects are not followed" if 300 <= status < 400 else f"status {status}")

    async def close(self) -> None:
        """Close every connection."""
        await self._pool.aclose()
        self._lookups.close()


async def _read_some(answer: httpcore.Response) -> None:
    """Read the body, which means nothing, so that the connection can be used again; give up a long one."""
    size = 0
    async for piece in answer.aiter_stream():
        size += len(piece)
        if size > MAX_ANSWER_BYTES:
            return


class CheckedNetwork(httpcore.AsyncNetworkBackend):
    """Connects to the addresses of a host once each of them is checked."""

    def __init__(self, lookups: Lookups, *, allows_private: bool) -> None:
        self._lookups, self._allows_private = lookups, allows_private
        self._network = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[SocketOption] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Connect to the first address that answers. Raises AddressRefused, httpcore.ConnectError."""
        addresses = await self._lookups.addresses_of(host, port)
        if not self._allows_private:
            for address in addresses:
                require_public_text(address)
        failure: Exception = httpcore.ConnectError("the host has no address")
        for address in addresses:
            try:
                return await self._network.connect_tcp(address, port, timeout, local_address, socket_options)
            except httpcore.ConnectError as error:
                failure = error
        raise failure

    async def connect_unix_socket(self, *_: Any, **__: Any) -> httpcore.AsyncNetworkStream:
        """No webhook is a socket file."""
        raise AddressRefused("not a web address")

    async def sleep(self, seconds: float) -> None:
        """Wait; between attempts of a pool, which makes none."""
        await asyncio.sleep(seconds)


def require_public_text(text: str) -> None:
    """Raise AddressRefused unless the text is an address of the public internet."""
    address = read_address(text)
    if address is None:
        raise AddressRefused("the host's address is not a public one")  # with a zone: link-local
    require_public(address)
