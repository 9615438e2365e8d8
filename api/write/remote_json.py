"""Fetches small public documents (keys, discovery) from configured addresses, and keeps keys for a while.

The server is trusted for the document only: redirects are not followed, and size and time are limited.
A failure is a 503; the log has the cause.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from typing import Final, Generic, TypeVar

import httpx
import structlog

from shared.errors import Unavailable
from shared.http.authorities import trusted_authorities

MAX_BYTES: Final = 256 * 1024
LIFETIME_S: Final = 300.0
RELOADS_PER_MINUTE: Final = 10

Key = TypeVar("Key")

log = structlog.get_logger()


class RemoteJson:
    """A pooled client for documents of at most 256 KiB."""

    def __init__(self, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._client = httpx.AsyncClient(
            timeout=timeout_s,
            verify=trusted_authorities(),
            follow_redirects=False,
            # What is compressed could be larger than the limit before anybody counts.
            headers={
                "accept": "application/json",
                "accept-encoding": "identity",
                "user-agent": "x07-registry",
            },
        )

    async def get(self, url: str) -> bytes:
        """The document at a URL. Raises Unavailable unless it comes, whole and in time, with status 200."""
        try:
            async with asyncio.timeout(self._timeout_s):
                return await self._read(url)
        except (httpx.HTTPError, httpx.InvalidURL, TimeoutError) as error:
            raise unavailable(url, type(error).__name__) from None

    async def _read(self, url: str) -> bytes:
        body = bytearray()
        async with self._client.stream("GET", url) as answer:
            if answer.status_code != 200:
                raise unavailable(url, f"status {answer.status_code}")
            async for chunk in answer.aiter_raw():
                body += chunk
                if len(body) > MAX_BYTES:
                    raise unavailable(url, f"more than {MAX_BYTES} bytes")
        return bytes(body)

    async def close(self) -> None:
        """Close every connection."""
        await self._client.aclose()


def unavailable(url: str, reason: str) -> Unavailable:
    """The error for a document that cannot be used. reason: for the log only."""
    log.warning("keys_unavailable", url=url, reason=reason)
    return Unavailable("the keys to check this request with cannot be had now, try again")


class RemoteKeys(Generic[Key]):
    """Keys by their id, kept for 5 minutes.

    A key that is not among them may be new, so they are loaded again, but no more than ten times a minute,
    because strangers can invent ids. Callers who come meanwhile wait for the same load.
    """

    def __init__(self, load: Callable[[], Awaitable[Mapping[str, Key]]]) -> None:
        """load: all keys, by id; raises Unavailable."""
        self._load = load
        self._keys: Mapping[str, Key] = {}
        self._loaded_at: float | None = None
        self._loading: asyncio.Task[None] | None = None
        self._reloads: deque[float] = deque(maxlen=RELOADS_PER_MINUTE)

    async def get(self, key_id: str) -> Key | None:
        """The key, None if nobody has it. Raises Unavailable."""
        is_fresh = self._loaded_at is not None and time.monotonic() - self._loaded_at < LIFETIME_S
        if not is_fresh or (key_id not in self._keys and self._may_reload()):
            await self._reload()
        return self._keys.get(key_id)

    def _may_reload(self) -> bool:
        now = time.monotonic()
        if len(self._reloads) == RELOADS_PER_MINUTE and now - self._reloads[0] < 60:
            return False
        self._reloads.append(now)
        return True

    async def _reload(self) -> None:
        if self._loading is None:
            self._loading = asyncio.create_task(self._load_once())
            self._loading.add_done_callback(_look_at)
        await asyncio.shield(self._loading)

    async def _load_once(self) -> None:
        try:
            self._keys = await self._load()
            self._loaded_at = time.monotonic()
        finally:
            self._loading = None


def _look_at(task: asyncio.Task[None]) -> None:
    """Take note of a failure that nobody waits for any more, so that asyncio does not report it."""
    if not task.cancelled():
        task.exception()
