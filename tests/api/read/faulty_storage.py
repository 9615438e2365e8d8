"""Wraps a real store so that a test can hold, fail and count its requests."""

from __future__ import annotations

import asyncio
import hashlib
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from api.read.cache import BlobCache
from api.read.freshness import FreshBlobs, Served
from api.read.loading import Loader
from api.read.tree_guard import TreeGuard
from shared.errors import RegistryError
from shared.storage.filesystem import FileSystemStorage
from shared.storage.interface import BlobInfo, Found, Missing, NotModified, Opened, Storage


class FaultyStorage:
    """A store that waits while it is held, and raises while `fault` is set.

    late_fault: raised by get after it was held. calls: by method. looks: how many calls of get have read the
    blob.
    """

    def __init__(self, storage: Storage) -> None:
        self.storage = storage
        self.fault: type[RegistryError] | None = None
        self.late_fault: type[RegistryError] | None = None
        self.calls: Counter[str] = Counter()
        self.looks = 0
        self.held_bytes = 0
        self.most_held_bytes = 0
        self._open_road = asyncio.Event()
        self._open_road.set()

    def hold(self) -> None:
        """Hold calls after they have read, until release()."""
        self._open_road.clear()

    def release(self) -> None:
        """Let every held call continue."""
        self._open_road.set()

    async def get(self, key: str, *, if_revision: str | None = None) -> Found | NotModified | Missing:
        await self._called("get")
        outcome = await self.storage.get(key, if_revision=if_revision)
        self.looks += 1
        if isinstance(outcome, Found):
            self.held_bytes += len(outcome.body)
            self.most_held_bytes = max(self.most_held_bytes, self.held_bytes)
        await self._open_road.wait()
        if isinstance(outcome, Found):
            self.held_bytes -= len(outcome.body)
        if self.late_fault is not None:
            raise self.late_fault
        return outcome

    async def head(self, key: str) -> BlobInfo | None:
        await self._called("head")
        info = await self.storage.head(key)
        await self._open_road.wait()
        return info

    @asynccontextmanager
    async def open(
        self, key: str, *, start: int = 0, end: int | None = None
    ) -> AsyncIterator[Opened | Missing]:
        await self._called("open")
        async with self.storage.open(key, start=start, end=end) as opened:
            await self._open_road.wait()
            if isinstance(opened, Opened):
                yield Opened(opened.info, self._chunks(opened.chunks))
            else:
                yield opened

    async def check(self) -> None:
        await self._called("check")

    async def _chunks(self, chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        async for chunk in chunks:
            if self.fault is not None:
                raise self.fault
            yield chunk

    async def _called(self, method: str) -> None:
        self.calls[method] += 1
        if self.fault is not None:
            raise self.fault


async def put(storage: Storage, key: str, body: bytes, *, identity: bytes | None = None) -> str:
    """Put a blob as the worker does. Returns its digest. identity: the body that a variant was made from."""
    digest = hashlib.sha256(body).hexdigest()
    await storage.put(
        key,
        body,
        content_type="application/octet-stream",
        digest=digest,
        identity_digest=None if identity is None else hashlib.sha256(identity).hexdigest(),
    )
    return digest


KEY = "index/he/ll/hello"
ARCHIVE = "dl/hello/0.1.0/download"
WHOLE_BYTES = 64 * 1024
TTL_S = 60.0


@asynccontextmanager
async def faulty_directory(root: Path) -> AsyncIterator[FaultyStorage]:
    """A directory that can be made to fail."""
    directory = FileSystemStorage(root)
    try:
        yield FaultyStorage(directory)
    finally:
        await directory.close()


def fresh_blobs(
    storage: FaultyStorage,
    *,
    ttl_s: float = TTL_S,
    cache_bytes: int = 1 << 20,
    in_flight_bytes: int = 1 << 20,
) -> FreshBlobs:
    """The freshness layer of the read service, over a store."""
    loader = Loader(TreeGuard(storage), whole_bytes=WHOLE_BYTES, in_flight_bytes=in_flight_bytes)
    return FreshBlobs(loader, BlobCache(cache_bytes), ttl_s)


async def body_of(blobs: FreshBlobs, key: str = KEY, *, is_refresh: bool = False) -> bytes | None:
    """The body that a reader gets, or None if the blob is missing."""
    served = await blobs.get(key, is_refresh=is_refresh)
    return served.blob.identity.body if isinstance(served, Served) else None


async def has_called(storage: FaultyStorage, method: str, times: int) -> bool:
    """True once a method was called this many times."""
    return storage.calls[method] >= times
