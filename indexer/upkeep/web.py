"""An HTTP client that is considerate of the server: limited concurrency and rate, conditional, patient."""

from __future__ import annotations

import asyncio
import hashlib
import ssl
import sys
import time
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from importlib.util import find_spec
from pathlib import Path
from typing import Final, Self, TypeVar

import httpx

from indexer.upkeep.fetch import Fetched
from shared.causes import cause_of
from shared.errors import StorageUnavailable

TIMEOUT_S: Final = 30.0
ATTEMPTS: Final = 4
LONGEST_PAUSE_S: Final = 60.0
CONNECTIONS: Final = 16
RETRIED: Final = frozenset({429, 500, 502, 503, 504})
GONE: Final = frozenset({404, 410})
# Far more than a sane index file has; protects our memory from the server.
MAX_DOCUMENT_BYTES: Final = 64 << 20
# The largest archive that X07_REGISTRY_MAX_ARCHIVE_BYTES allows; protects our disk from the server.
MAX_DOWNLOAD_BYTES: Final = 1 << 30
# An answer that brings less than this, on average after the first minute, will not end either.
LEAST_BYTES_PER_S: Final = 1 << 10
PATIENCE_S: Final = 60.0
PIECE_BYTES: Final = 1 << 16
GZIP_WINDOW_BITS: Final = 31
USER_AGENT: Final = "x07-registry"

T = TypeVar("T")

# httpcore tries to import sniffio for each request. Without it, Python would search its whole path each time.
if find_spec("sniffio") is None:
    sys.modules["sniffio"] = None  # type: ignore[assignment]


@dataclass(frozen=True, slots=True)
class Answer:
    """A document that was read whole. etag: None if there is none that names these bytes for sure."""

    status: int
    body: bytes
    etag: str | None = None


@dataclass(frozen=True, slots=True)
class Unchanged:
    """The server's file still has the given ETag (304)."""


class _Refused(Exception):
    """An unusable response. after_s: the requested pause in seconds. is_final: asking again will not help."""

    def __init__(self, cause: str, after_s: float | None = None, *, is_final: bool = False) -> None:
        super().__init__(cause)
        self.cause, self.after_s, self.is_final = cause, after_s, is_final


@dataclass(slots=True)
class Web:
    """An HTTP client. pause_s: least time between the starts of two requests; 0 for none.

    token: sent with requests to addresses below token_base, and to no other host.

    Each request uses a client of its own, and so its own connection, because the pool of httpx scans all its
    connections and all waiting requests several times for each request.
    """

    pause_s: float = 0.0
    token: str | None = field(default=None, repr=False)
    token_base: str = ""
    requests: int = 0
    _next: float = 0.0
    _free: asyncio.LifoQueue[httpx.AsyncClient] = field(default_factory=asyncio.LifoQueue)

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        connections: int = CONNECTIONS,
        requests_per_s: float | None = None,
        *,
        token: str | None = None,
        token_base: str = "",
    ) -> AsyncIterator[Self]:
        """Open a client. connections: at most. requests_per_s: at most; None: no limit.

        token: for a private registry, whose address is token_base, without a slash at the end.
        """
        web = cls(1 / requests_per_s if requests_per_s else 0.0, token, token_base)
        trusted = ssl.create_default_context()
        async with AsyncExitStack() as stack:
            for _ in range(connections):
                client = httpx.AsyncClient(
                    timeout=TIMEOUT_S,
                    follow_redirects=True,
                    headers={"user-agent": USER_AGENT, "accept-encoding": "gzip"},
                    verify=trusted,
                )
                web._free.put_nowait(await stack.enter_async_context(client))
            yield web

    async def get(
        self,
        url: str,
        *,
        etag: str | None = None,
        accepted: Collection[int] = (),
        most_bytes: int | None = None,
    ) -> Answer | Unchanged | None:
        """A document, or None if it does not exist. etag: of the copy that the caller has.

        accepted: statuses besides 200 whose body is a document. most_bytes: None: MAX_DOCUMENT_BYTES. Raises
        StorageUnavailable, also for a redirect to another host: no checksum tells whose document that is.
        """

        async def take(response: httpx.Response) -> Answer:
            if response.url.host != httpx.URL(url).host:
                raise _Refused(f"it is redirected to another host, {response.url.host}", is_final=True)
            body = bytearray()
            async for chunk in _chunks(response, most_bytes or MAX_DOCUMENT_BYTES):
                body += chunk
            return Answer(response.status_code, bytes(body), _lasting_etag(response))

        return await self._read(url, take, etag, accepted)

    async def download(self, url: str, path: Path, *, etag: str | None = None) -> Fetched | Unchanged | None:
        """Download into a file, in constant memory; None if it does not exist. Raises StorageUnavailable."""

        async def take(response: httpx.Response) -> Fetched:
            digest, size_bytes = hashlib.sha256(), 0
            with path.open("wb") as file:
                async for chunk in _chunks(response, MAX_DOWNLOAD_BYTES):
                    digest.update(chunk)
                    size_bytes += file.write(chunk)
            return Fetched(path, digest.hexdigest(), size_bytes, 0, _lasting_etag(response))

        return await self._read(url, take, etag, ())

    async def _read(
        self,
        url: str,
        take: Callable[[httpx.Response], Awaitable[T]],
        etag: str | None,
        accepted: Collection[int],
    ) -> T | Unchanged | None:
        """The result of a usable response. Other responses are retried a few times, with longer pauses."""
        for attempt in range(1, ATTEMPTS + 1):
            await self._turn()
            try:
                return await self._ask(url, take, etag, accepted)
            except httpx.HTTPError as error:
                refused = _Refused(cause_of(error))
            except _Refused as error:
                refused = error
            if refused.is_final or attempt == ATTEMPTS:
                break
            await asyncio.sleep(2.0**attempt / 4 if refused.after_s is None else refused.after_s)
        raise StorageUnavailable(f"{url} cannot be read: {refused.cause}")

    async def _ask(
        self,
        url: str,
        take: Callable[[httpx.Response], Awaitable[T]],
        etag: str | None,
        accepted: Collection[int],
    ) -> T | Unchanged | None:
        """One request. Raises _Refused, httpx.HTTPError."""
        headers = {"if-none-match": etag} if etag else {}
        if self.token is not None and url.startswith(f"{self.token_base}/"):
            headers["authorization"] = f"Bearer {self.token}"  # httpx drops it on the way to another host
        try:
            async with self._client() as client, client.stream("GET", url, headers=headers) as answer:
                status = answer.status_code
                if status == 200 or status in accepted:
                    return await take(answer)
                if status == 304 and etag:
                    return Unchanged()
                if status in GONE:
                    return None
                if (after_s := _retry_after_s(answer)) is not None:
                    self._next = max(self._next, time.monotonic() + after_s)  # for all requests
                raise _Refused(f"status {status}", after_s, is_final=status not in RETRIED)
        except httpx.InvalidURL as error:
            raise _Refused(str(error), is_final=True) from error

    @asynccontextmanager
    async def _client(self) -> AsyncIterator[httpx.AsyncClient]:
        """A client that no other request uses: the one used last, whose connection is probably still open."""
        client = await self._free.get()
        try:
            yield client
        finally:
            self._free.put_nowait(client)

    async def _turn(self) -> None:
        """Wait until a request may begin."""
        now = time.monotonic()
        begins = max(now, self._next)
        self._next = max(self._next, begins + self.pause_s)
        self.requests += 1
        if begins > now:
            await asyncio.sleep(begins - now)


async def _chunks(answer: httpx.Response, most_bytes: int) -> AsyncIterator[bytes]:
    """The body of an answer. Raises _Refused for one that is too long, or that comes too slowly to end."""
    began, size = time.monotonic(), 0
    async for chunk in _decoded(answer):
        size += len(chunk)
        if size > most_bytes:
            raise _Refused(f"it has more than {most_bytes} bytes", is_final=True)
        if time.monotonic() - began > PATIENCE_S + size / LEAST_BYTES_PER_S:
            raise _Refused(f"only {size} bytes came in {PATIENCE_S:.0f} s", is_final=True)
        yield chunk


async def _decoded(answer: httpx.Response) -> AsyncIterator[bytes]:
    """The body without its content coding, in small pieces. httpx would expand a whole chunk at once.

    Raises _Refused for a coding that was not asked for, and for one that is damaged.
    """
    coding = answer.headers.get("content-encoding", "identity").lower()
    if coding not in ("identity", "gzip"):
        raise _Refused("its content coding was not asked for", is_final=True)
    inflate = zlib.decompressobj(GZIP_WINDOW_BITS)
    async for chunk in answer.aiter_raw():
        if coding == "identity":
            yield chunk
            continue
        try:
            while piece := inflate.decompress(chunk, PIECE_BYTES):
                yield piece
                chunk = inflate.unconsumed_tail
        except zlib.error as error:
            raise _Refused(f"its content coding is damaged: {error}") from error
    if coding == "gzip" and not inflate.eof:
        raise _Refused("its content coding ends too early")


def _lasting_etag(answer: httpx.Response) -> str | None:
    """The answer's ETag; None without one, or if the next version of the file may get the same one.

    nginx and others make an ETag of the modification time in seconds and the size. A file that changed less
    than two seconds before the answer may change again without another ETag (compare RFC 9110, 8.8.2.2).
    """
    etag: str | None = answer.headers.get("etag")
    date, modified = (_seconds_of(answer.headers.get(name)) for name in ("date", "last-modified"))
    is_fresh = date is not None and modified is not None and date - modified < 2
    return None if is_fresh else etag


def _seconds_of(text: str | None) -> float | None:
    """The Unix time of an HTTP date; None without one."""
    try:
        return None if text is None else parsedate_to_datetime(text).timestamp()
    except ValueError:
        return None


def _retry_after_s(answer: httpx.Response) -> float | None:
    """The pause that the server asks for (RFC 9110, 10.2.3; seconds only), limited to a sensible length."""
    after = answer.headers.get("retry-after", "")
    return min(float(after), LONGEST_PAUSE_S) if after.isdecimal() else None
