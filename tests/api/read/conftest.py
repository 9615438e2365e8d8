"""A real store with faults, and what the read service builds on it, small enough to fill."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio

from api.read.cache import BlobCache
from api.read.freshness import FreshBlobs
from api.read.loading import Loader
from api.read.standing import StandingTree
from shared.storage.filesystem import FileSystemStorage
from tests.api.read.faulty_storage import FaultyStorage

WHOLE_BYTES = 64 * 1024


@pytest_asyncio.fixture
async def storage(tmp_path: Path) -> AsyncIterator[FaultyStorage]:
    """A directory as store, without a fault yet."""
    directory = FileSystemStorage(tmp_path / "tree")
    yield FaultyStorage(directory)
    await directory.close()


def fresh_blobs(
    storage: FaultyStorage,
    *,
    ttl_s: float = 3600.0,
    cache_bytes: int = 64 * WHOLE_BYTES,
    in_flight_bytes: int = 64 * WHOLE_BYTES,
) -> FreshBlobs:
    """Blobs of a store; unless told otherwise only a message makes them look again."""
    loader = Loader(StandingTree(storage), whole_bytes=WHOLE_BYTES, in_flight_bytes=in_flight_bytes)
    return FreshBlobs(loader, BlobCache(cache_bytes), ttl_s)
