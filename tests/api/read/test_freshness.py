"""Freshness: one load at a time, never back to an older body, stale rather than down, bounded memory."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from hypothesis import given, settings
from hypothesis import strategies as st

from api.read.freshness import FreshBlobs, Served
from shared.blobs import CONFIG_KEY
from shared.errors import RegistryError, StorageFailed, StorageUnavailable
from shared.jobs import Change
from shared.storage.filesystem import FileSystemStorage
from shared.storage.interface import Missing
from tests.api.read.faulty_storage import WHOLE_BYTES, FaultyStorage, faulty_directory, fresh_blobs, put
from tests.stack import eventually

KEY = "index/he/ll/hello"
ARCHIVE = "dl/hello/0.1.0/download"
FAULTS = [StorageUnavailable, StorageFailed]


@pytest_asyncio.fixture
async def storage(tmp_path: Path) -> AsyncIterator[FaultyStorage]:
    """A directory that can be made to fail."""
    async with faulty_directory(tmp_path / "tree") as directory:
        yield directory


async def body_of(blobs: FreshBlobs, key: str = KEY, *, is_refresh: bool = False) -> bytes | None:
    """The body that a reader gets; None when it is missing."""
    served = await blobs.get(key, is_refresh=is_refresh)
    return served.blob.identity.body if isinstance(served, Served) else None


def changed(*keys: str) -> Change:
    """The message that a worker sends."""
    return Change(keys or (KEY,))


async def test_a_thousand_readers_of_one_name_cost_one_load(storage: FaultyStorage) -> None:
    """Single flight, for names that exist and for names that do not."""
    await put(storage.storage, KEY, b"one")
    blobs = fresh_blobs(storage)
    bodies = await asyncio.gather(*(body_of(blobs) for _ in range(1000)))
    assert set(bodies) == {b"one"}
    assert storage.calls == {"get": 1}
    missing = await asyncio.gather(*(body_of(blobs, "index/no/ne/none") for _ in range(1000)))
    assert set(missing) == {None}
    assert storage.calls["get"] == 2


async def test_a_cached_blob_is_served_without_storage_until_a_message_comes(storage: FaultyStorage) -> None:
    """And then the next reader has the new body."""
    await put(storage.storage, KEY, b"one")
    blobs = fresh_blobs(storage)
    await body_of(blobs)
    await put(storage.storage, KEY, b"two")
    assert await body_of(blobs) == b"one"
    blobs.apply(changed())
    assert await body_of(blobs) == b"two"


async def test_without_messages_the_time_to_live_bounds_the_age(storage: FaultyStorage) -> None:
    """Zero: every read asks storage."""
    await put(storage.storage, KEY, b"one")
    blobs = fresh_blobs(storage, ttl_s=0.05)
    assert await body_of(blobs) == b"one"
    await put(storage.storage, KEY, b"two")

    async def is_new() -> bool:
        return await body_of(blobs) == b"two"

    await eventually(is_new)
    always = fresh_blobs(storage, ttl_s=0)
    assert await body_of(always) == b"two"
    await put(storage.storage, KEY, b"three")
    assert await body_of(always) == b"three"


async def test_a_refresh_is_never_older_than_its_request(storage: FaultyStorage) -> None:
    """Not even when a load that began before is on its way."""
    await put(storage.storage, KEY, b"one")
    blobs = fresh_blobs(storage)
    storage.hold()
    early = asyncio.create_task(body_of(blobs))
    await eventually(lambda: _has_called(storage, "get", 1))
    await put(storage.storage, KEY, b"two")
    refreshed = asyncio.create_task(body_of(blobs, is_refresh=True))
    storage.release()
    assert await early in (b"one", b"two")
    assert await refreshed == b"two"
    await put(storage.storage, KEY, b"three")
    assert await body_of(blobs, is_refresh=True) == b"three"


async def test_a_load_that_a_message_overtook_is_not_served_to_those_who_come_later(
    storage: FaultyStorage,
) -> None:
    """They wait for the load after it; those who asked before the message may have either."""
    await put(storage.storage, KEY, b"one")
    blobs = fresh_blobs(storage)
    storage.hold()
    early = asyncio.create_task(body_of(blobs))
    await eventually(lambda: _has_called(storage, "get", 1))
    await put(storage.storage, KEY, b"two")
    blobs.apply(changed())
    late = asyncio.create_task(body_of(blobs))
    storage.release()
    assert await early in (b"one", b"two")
    assert await late == b"two"
    assert await body_of(blobs) == b"two"


async def test_readers_are_served_while_messages_never_stop(storage: FaultyStorage) -> None:
    """A package that changes faster than it loads: each reader waits for two loads at most."""
    await put(storage.storage, KEY, b"one")
    blobs = fresh_blobs(storage)

    async def storm() -> None:
        while True:
            blobs.apply(changed())
            await asyncio.sleep(0)

    storming = asyncio.create_task(storm())
    async with asyncio.timeout(5):
        for _ in range(20):
            assert await body_of(blobs) == b"one"
    storming.cancel()


async def test_a_name_that_is_not_there_is_remembered_until_it_is(storage: FaultyStorage) -> None:
    """A message or a refresh ends it at once, and eviction does not bring it back."""
    blobs = fresh_blobs(storage, cache_bytes=0)
    assert [await body_of(blobs) for _ in range(5)] == [None] * 5
    assert storage.calls["get"] == 1
    await put(storage.storage, KEY, b"one")
    assert await body_of(blobs, is_refresh=True) == b"one"
    assert await body_of(blobs) == b"one"
    other = fresh_blobs(storage)
    assert await body_of(other, "index/ne/w-/new-") is None
    await put(storage.storage, "index/ne/w-/new-", b"new")
    other.apply(changed("index/ne/w-/new-"))
    assert await body_of(other, "index/ne/w-/new-") == b"new"


async def test_a_name_found_missing_while_its_publish_came_is_asked_again(storage: FaultyStorage) -> None:
    """The message overtook the answer."""
    blobs = fresh_blobs(storage)
    storage.hold()
    early = asyncio.create_task(body_of(blobs))
    await eventually(lambda: _has_called(storage, "get", 1))
    await put(storage.storage, KEY, b"one")
    blobs.apply(changed())
    storage.release()
    await early
    assert await body_of(blobs) == b"one"


async def test_an_archive_is_there_for_whoever_saw_its_line(storage: FaultyStorage) -> None:
    """However shortly before it was missing: another process may have the line, without a message."""
    blobs, archive = fresh_blobs(storage), "dl/hello/0.1.0/download"
    assert await body_of(blobs, archive) is None
    await put(storage.storage, archive, b"archive")
    assert await body_of(blobs, archive) == b"archive"


async def test_an_archive_is_not_missing_because_an_older_question_found_it_so(
    storage: FaultyStorage,
) -> None:
    """A load that began before the reader asked may have looked before the archive was put."""
    blobs, document = fresh_blobs(storage), "dl/hello/0.1.0/metadata"
    storage.hold()
    early = asyncio.create_task(body_of(blobs, document))

    async def has_looked() -> bool:
        return storage.looks == 1

    await eventually(has_looked)
    await put(storage.storage, document, b"{}")
    late = asyncio.create_task(body_of(blobs, document))
    await asyncio.sleep(0)
    storage.release()
    assert await early is None
    assert await late == b"{}"


async def test_what_is_remembered_of_missing_names_is_bounded(storage: FaultyStorage) -> None:
    """In number, and by leaving out keys that are longer than any name of today."""
    blobs = fresh_blobs(storage)
    for number in range(10_200):
        blobs._remember_missing(f"index/aa/aa/{number}", 0.0)
    assert len(blobs._missing) == 10_000
    long_key = "index/aa/aa/" + "a" * 5000
    await body_of(blobs, long_key)
    assert long_key not in blobs._missing


@pytest.mark.parametrize("fault", FAULTS)
async def test_stale_is_better_than_down(storage: FaultyStorage, fault: type[RegistryError]) -> None:
    """What is cached is served and says so; storage is not asked by every reader; then it is fresh again."""
    await put(storage.storage, KEY, b"one")
    blobs = fresh_blobs(storage)
    await body_of(blobs)
    storage.fault = fault
    blobs.apply(changed())
    for _ in range(50):
        served = await blobs.get(KEY)
        assert isinstance(served, Served)
        assert served.is_stale
    assert storage.calls["get"] == 2
    with pytest.raises(fault):
        await blobs.get("index/ne/w-/new-")
    storage.fault = None
    await put(storage.storage, KEY, b"two")

    async def is_fresh() -> bool:
        served = await blobs.get(KEY, is_refresh=True)
        return isinstance(served, Served) and not served.is_stale and served.blob.identity.body == b"two"

    await eventually(is_fresh)


async def test_a_refresh_asks_even_while_storage_is_left_alone(storage: FaultyStorage) -> None:
    """The pause after a failure is for ordinary readers."""
    await put(storage.storage, KEY, b"one")
    blobs = fresh_blobs(storage)
    await body_of(blobs)
    storage.fault = StorageUnavailable
    blobs.apply(changed())
    await body_of(blobs)
    storage.fault = None
    await put(storage.storage, KEY, b"two")
    assert await body_of(blobs, is_refresh=True) == b"two"


async def test_storage_that_hangs_holds_a_reader_for_two_seconds_once(storage: FaultyStorage) -> None:
    """Then all that is cached is served stale at once."""
    other = "index/ot/he/other"
    await put(storage.storage, KEY, b"one")
    await put(storage.storage, other, b"other")
    blobs = fresh_blobs(storage)
    await body_of(blobs)
    await body_of(blobs, other)
    storage.hold()
    blobs.suspect_all()
    clock = asyncio.get_running_loop().time
    begun = clock()
    served = await blobs.get(KEY)
    assert isinstance(served, Served)
    assert served.is_stale
    assert 1.9 < clock() - begun < 4
    begun = clock()
    assert await body_of(blobs, other) == b"other"
    assert clock() - begun < 0.5
    storage.release()


async def test_a_tree_that_is_taken_away_is_not_an_empty_registry(
    storage: FaultyStorage, tmp_path: Path
) -> None:
    """An unmounted volume: cached blobs stay, others are 503 and not 404."""
    await put(storage.storage, KEY, b"one")
    await put(storage.storage, CONFIG_KEY, b"{}")
    blobs = fresh_blobs(storage)
    assert await body_of(blobs, CONFIG_KEY) == b"{}"
    assert await body_of(blobs) == b"one"
    shutil.move(tmp_path / "tree", tmp_path / "away")
    (tmp_path / "tree").mkdir()
    await asyncio.sleep(1.1)  # a tree that stood a second ago is not looked at again
    blobs.suspect_all()
    served = await blobs.get(KEY)
    assert isinstance(served, Served)
    assert served.is_stale
    with pytest.raises(StorageUnavailable):
        await blobs.get("index/ne/w-/new-")
    (tmp_path / "tree").rmdir()
    shutil.move(tmp_path / "away", tmp_path / "tree")
    assert await body_of(blobs, "index/ne/w-/new-") is None


async def test_a_deleted_blob_of_a_standing_tree_is_missing(storage: FaultyStorage) -> None:
    """Deletion is not a fault."""
    await put(storage.storage, KEY, b"one")
    await put(storage.storage, CONFIG_KEY, b"{}")
    blobs = fresh_blobs(storage)
    assert await body_of(blobs) == b"one"
    await storage.storage.delete(KEY)
    blobs.apply(changed())
    assert isinstance(await blobs.get(KEY), Missing)


async def test_a_big_blob_is_described_and_its_body_never_loaded(storage: FaultyStorage) -> None:
    """It is streamed by whoever answers; confirming it costs a look at its head."""
    await put(storage.storage, ARCHIVE, bytes(WHOLE_BYTES + 1))
    blobs = fresh_blobs(storage, ttl_s=0)
    for _ in range(3):
        served = await blobs.get(ARCHIVE)
        assert isinstance(served, Served)
        assert served.blob.identity.body is None
        assert served.blob.identity.size_bytes == WHOLE_BYTES + 1
    assert storage.calls == {"open": 1, "head": 2}


async def test_head_does_not_read_a_body_that_is_not_cached(storage: FaultyStorage) -> None:
    """Nor does it fill the cache."""
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
    """However many big names are asked for at once, the rest waits outside."""
    keys = [f"index/aa/bb/aabb{number}" for number in range(60)]
    for key in keys:
        await put(storage.storage, key, bytes(WHOLE_BYTES))
    blobs = fresh_blobs(storage, cache_bytes=0, in_flight_bytes=4 * WHOLE_BYTES)
    storage.hold()
    readers = [asyncio.create_task(body_of(blobs, key)) for key in keys]
    await eventually(lambda: _has_called(storage, "get", 32))
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
    """The others still get it; a failure that nobody waits for is not an unhandled one."""
    await put(storage.storage, KEY, b"one")
    blobs = fresh_blobs(storage)
    storage.hold()
    gone, patient = asyncio.create_task(body_of(blobs)), asyncio.create_task(body_of(blobs))
    await eventually(lambda: _has_called(storage, "get", 1))
    gone.cancel()
    storage.release()
    assert await patient == b"one"
    assert storage.calls["get"] == 1


async def _has_called(storage: FaultyStorage, method: str, times: int) -> bool:
    return storage.calls[method] >= times


STEPS = st.lists(
    st.sampled_from(["put", "message", "read", "refresh", "gap", "turn", "fail", "heal"]), max_size=40
)


@settings(max_examples=40, deadline=None)
@given(steps=STEPS)
def test_no_reader_ever_goes_back(steps: list[str], tmp_path_factory: pytest.TempPathFactory) -> None:
    """Any interleaving of puts, messages, faults and readers: what a process answers never gets older.

    Bodies are numbers that grow. A reader who comes after a message has at least what was put before it,
    unless the answer is marked stale; a refresh at least what was there when it was asked.
    """

    async def scenario() -> None:
        directory = FileSystemStorage(tmp_path_factory.mktemp("tree"))
        storage = FaultyStorage(directory)
        await put(directory, CONFIG_KEY, b"{}")
        await put(directory, KEY, b"0")
        blobs = fresh_blobs(storage)
        newest, announced, answered = 0, 0, -1
        readers: list[asyncio.Task[None]] = []

        async def read(least: int, *, is_refresh: bool) -> None:
            nonlocal answered
            try:
                served = await blobs.get(KEY, is_refresh=is_refresh)
            except StorageUnavailable:
                return
            assert isinstance(served, Served)
            number = int(served.blob.identity.body or b"-1")
            assert number >= answered
            assert served.is_stale or number >= least
            answered = number

        for step in steps:
            match step:
                case "put":
                    newest += 1
                    await put(directory, KEY, b"%d" % newest)
                case "message":
                    announced = newest
                    blobs.apply(changed())
                case "gap":
                    announced = newest
                    blobs.suspect_all()
                case "read":
                    readers.append(asyncio.create_task(read(announced, is_refresh=False)))
                case "refresh":
                    readers.append(asyncio.create_task(read(newest, is_refresh=True)))
                case "turn":
                    await asyncio.sleep(0.001)
                case "fail":
                    storage.fault = StorageUnavailable
                case "heal":
                    storage.fault = None
        async with asyncio.timeout(10):
            await asyncio.gather(*readers)
        await directory.close()

    asyncio.run(scenario())
