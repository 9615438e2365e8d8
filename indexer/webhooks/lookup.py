"""Looks up the addresses of hosts that users chose, in threads of its own.

Their name servers may answer slowly or never. A lookup holds its thread until the resolver gives up, whoever
waits for it, and in the threads that asyncio shares, publications and new connections would wait behind it.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from socket import SOCK_STREAM, getaddrinfo
from typing import Any, Final

import httpcore

LOOKUPS_AT_ONCE: Final = 32


class Lookups:
    """Lookups of one process. Those of one host at the same time share a thread."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(LOOKUPS_AT_ONCE, thread_name_prefix="webhook-lookup")
        self._running: dict[tuple[str, int], asyncio.Future[list[Any]]] = {}

    async def addresses_of(self, host: str, port: int) -> list[str]:
        """The IP addresses of a host, in the order of the resolver. Raises httpcore.ConnectError."""
        try:
            found = await asyncio.shield(self._running.get((host, port)) or self._begin(host, port))
        except (OSError, UnicodeError) as error:
            raise httpcore.ConnectError(f"the host's address cannot be found ({error})") from None
        return list(dict.fromkeys(str(address[0]) for *_, address in found))

    def close(self) -> None:
        """Begin no lookup any more."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _begin(self, host: str, port: int) -> asyncio.Future[list[Any]]:
        look_up = partial(getaddrinfo, host, port, type=SOCK_STREAM)
        lookup = asyncio.get_running_loop().run_in_executor(self._threads, look_up)
        self._running[host, port] = lookup
        lookup.add_done_callback(lambda ended: self._end(host, port, ended))
        return lookup

    def _end(self, host: str, port: int, ended: asyncio.Future[list[Any]]) -> None:
        """Retrieve the exception, so that asyncio does not report one that nobody waits for any more."""
        del self._running[host, port]
        if not ended.cancelled():
            ended.exception()
