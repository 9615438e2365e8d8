"""Loads from storage use limited memory, whatever is requested and whichever clients disconnect."""

from __future__ import annotations

import asyncio

from api.read.freshness import Served
from shared.storage.interface import Missing
from tests.api.read.faulty_storage import (
    ARCHIVE,
    KEY,
    WHOLE_BYTES,
    FaultyStorage,
    body_of,
    fresh_blobs,
    has_called,
    put,
)
from tests.stack import eventually


async def test_a_big_blob_is_described_and_its_body_never_loaded(storage: FaultyStorage) -> None:
    """It is streamed to the client, and confirming it reads only its head."""
    await put(storage.storage, ARCHIVE, bytes(WHOLE_BYTES + 1))
    blobs = fresh_blobs(storage, ttl_s=0)
    for _ in range(3):
        served = await blobs.get(ARCHIVE)
        assert isinstance(served, Served)
        assert served.blob.identity.body is None
        assert served.blob.identity.size_bytes == WHOLE_BYTES + 1
    assert storage.calls == {"open": 1, "head": 2}


async def test_head_does_not_read_a_body_that_is_not_cached(storage: FaultyStorage) -> None:
    """HEAD does not fill the cache either."""
    await put(storage.storage, KEY, b"one")
    blobs = fresh_blobs(storage)
    served = await blobs.describe(KEY)
    assert isinstance(served, Served)
    assert served.blob.identity.size_bytes == 3
    assert storage.calls == {"head": 1}
    assert isinstance(await blobs.describe("index/no/ne/none"), Missing)
    await body_of(blobs)
    await blobs.describe(KEY)
    assert storage.calls["get"] == 1


async def test_loads_in_flight_hold_bounded_memory(storage: FaultyStorage) -> None:
    """However many big names are requested at once, only some load at a time."""
    keys = [f"index/aa/bb/aabb{number}" for number in range(60)]
    for key in keys:
        await put(storage.storage, key, bytes(WHOLE_BYTES))
    blobs = fresh_blobs(storage, cache_bytes=0, in_flight_bytes=4 * WHOLE_BYTES)
    storage.hold()
    readers = [asyncio.create_task(body_of(blobs, key)) for key in keys]
    await eventually(lambda: has_called(storage, "get", 32))
    storage.release()
    assert all(len(body or b"") == WHOLE_BYTES for body in await asyncio.gather(*readers))
    assert storage.most_held_bytes <= 32 * WHOLE_BYTES


async def test_archives_in_flight_are_admitted_by_their_size(storage: FaultyStorage) -> None:
    """The size is known before the first byte of the body is in memory."""
    keys = [f"dl/hello/0.1.{number}/download" for number in range(40)]
    for key in keys:
        await put(storage.storage, key, bytes(WHOLE_BYTES))
    blobs = fresh_blobs(storage, in_flight_bytes=2 * WHOLE_BYTES)
    bodies = await asyncio.gather(*(body_of(blobs, key) for key in keys))
    assert all(len(body or b"") == WHOLE_BYTES for body in bodies)
    assert storage.calls == {"open": 40}


async def test_a_reader_that_goes_away_does_not_take_the_load_with_it(storage: FaultyStorage) -> None:
    """The others still get the body; a failure that nobody waits for is not reported as unhandled."""
    await put(storage.storage, KEY, b"one")
    blobs = fresh_blobs(storage)
    storage.hold()
    gone, patient = asyncio.create_task(body_of(blobs)), asyncio.create_task(body_of(blobs))
    await eventually(lambda: has_called(storage, "get", 1))
    gone.cancel()
    storage.release()
    assert await patient == b"one"
    assert storage.calls["get"] == 1
