"""Freshness: one load per key at a time, never an older body, stale rather than an error, bounded memory."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from api.read.freshness import Served
from shared.blobs import CONFIG_KEY
from shared.errors import RegistryError, StorageFailed, StorageUnavailable
from shared.messages import Change
from shared.storage.filesystem import FileSystemStorage
from shared.storage.interface import Missing
from tests.api.read.faulty_storage import KEY, FaultyStorage, body_of, fresh_blobs, has_called, put
from tests.stack import eventually

FAULTS = [StorageUnavailable, StorageFailed]


def changed(*keys: str) -> Change:
    """The change message that a worker sends."""
    return Change(keys or (KEY,))


async def test_a_thousand_readers_of_one_name_cost_one_load(storage: FaultyStorage) -> None:
    """Concurrent requests share one load, for existing and for missing names."""
    await put(storage.storage, KEY, b"one")
    blobs = fresh_blobs(storage)
    bodies = await asyncio.gather(*(body_of(blobs) for _ in range(1000)))
    assert set(bodies) == {b"one"}
    assert storage.calls == {"get": 1}
    missing = await asyncio.gather(*(body_of(blobs, "index/no/ne/none") for _ in range(1000)))
    assert set(missing) == {None}
    assert storage.calls["get"] == 2


async def test_a_cached_blob_is_served_without_storage_until_a_message_comes(storage: FaultyStorage) -> None:
    """The reader after the message gets the new body."""
    await put(storage.storage, KEY, b"one")
    blobs = fresh_blobs(storage)
    await body_of(blobs)
    await put(storage.storage, KEY, b"two")
    assert await body_of(blobs) == b"one"
    blobs.apply(changed())
    assert await body_of(blobs) == b"two"


async def test_without_messages_the_time_to_live_bounds_the_age(storage: FaultyStorage) -> None:
    """With a time-to-live of zero, every read asks storage."""
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
    """This holds even if an earlier load is still running."""
    await put(storage.storage, KEY, b"one")
    blobs = fresh_blobs(storage)
    storage.hold()
    early = asyncio.create_task(body_of(blobs))
    await eventually(lambda: has_called(storage, "get", 1))
    await put(storage.storage, KEY, b"two")
    refreshed = asyncio.create_task(body_of(blobs, is_refresh=True))
    storage.release()
    assert await early in (b"one", b"two")
    assert await refreshed == b"two"
    await put(storage.storage, KEY, b"three")
    assert await body_of(blobs, is_refresh=True) == b"three"


async def test_a_body_is_overtaken_once_another_was_loaded(storage: FaultyStorage) -> None:
    """An edge no longer gets the overtaken body, because its own copy may already be the newer one."""
    blobs = fresh_blobs(storage)
    await put(storage.storage, KEY, b"one")
    old = await blobs.get(KEY, is_refresh=True)
    assert isinstance(old, Served)
    assert not blobs.is_overtaken(old.blob)
    await put(storage.storage, KEY, b"two")
    new = await blobs.get(KEY, is_refresh=True)
    assert isinstance(new, Served)
    assert (blobs.is_overtaken(old.blob), blobs.is_overtaken(new.blob)) == (True, False)


async def test_a_load_that_a_message_overtook_is_not_served_to_those_who_come_later(
    storage: FaultyStorage,
) -> None:
    """Later readers wait for the next load; readers who asked before the message may get either body."""
    await put(storage.storage, KEY, b"one")
    blobs = fresh_blobs(storage)
    storage.hold()
    early = asyncio.create_task(body_of(blobs))
    await eventually(lambda: has_called(storage, "get", 1))
    await put(storage.storage, KEY, b"two")
    blobs.apply(changed())
    late = asyncio.create_task(body_of(blobs))
    storage.release()
    assert await early in (b"one", b"two")
    assert await late == b"two"
    assert await body_of(blobs) == b"two"


async def test_readers_are_served_while_messages_never_stop(storage: FaultyStorage) -> None:
    """Even if a package changes faster than it loads, each reader waits for two loads at most."""
    await put(storage.storage, KEY, b"one")
    blobs = fresh_blobs(storage)

    async def storm() -> None:
        while True:
            blobs.apply(changed())
            await asyncio.sleep(0)

    storming = asyncio.create_task(storm())
    async with asyncio.timeout(60):
        for _ in range(20):
            assert await body_of(blobs) == b"one"
    storming.cancel()


async def test_a_name_that_is_not_there_is_remembered_until_it_is(storage: FaultyStorage) -> None:
    """A message or a refresh ends this at once, and eviction does not bring the missing name back."""
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
    """The message arrived before the answer of storage."""
    blobs = fresh_blobs(storage)
    storage.hold()
    early = asyncio.create_task(body_of(blobs))
    await eventually(lambda: has_called(storage, "get", 1))
    await put(storage.storage, KEY, b"one")
    blobs.apply(changed())
    storage.release()
    await early
    assert await body_of(blobs) == b"one"


async def test_an_archive_is_there_for_whoever_saw_its_line(storage: FaultyStorage) -> None:
    """This holds even if it was missing a moment before, because another process may have shown the line."""
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
    """The number of names is limited, and keys longer than any present name are not remembered."""
    blobs = fresh_blobs(storage)
    for number in range(10_200):
        blobs._remember_missing(f"index/aa/aa/{number}", 0.0, Missing())
    assert len(blobs._missing) == 10_000
    long_key = "index/aa/aa/" + "a" * 5000
    await body_of(blobs, long_key)
    assert long_key not in blobs._missing


@pytest.mark.parametrize("fault", FAULTS)
async def test_stale_is_better_than_down(storage: FaultyStorage, fault: type[RegistryError]) -> None:
    """Cached blobs are served as stale, few readers ask storage, and later answers are fresh."""
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
    """The pause after a failure applies to ordinary readers only."""
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
    """After that, all cached blobs are served as stale at once."""
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
    """The volume is unmounted: cached blobs are still served, others are 503 and not 404."""
    await put(storage.storage, KEY, b"one")
    await put(storage.storage, CONFIG_KEY, b"{}")
    blobs = fresh_blobs(storage)
    assert await body_of(blobs, CONFIG_KEY) == b"{}"
    assert await body_of(blobs) == b"one"
    shutil.move(tmp_path / "tree", tmp_path / "away")
    (tmp_path / "tree").mkdir()
    await asyncio.sleep(1.1)  # a tree that was seen within the last second is not checked again
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
    """A deletion is not a failure."""
    await put(storage.storage, KEY, b"one")
    await put(storage.storage, CONFIG_KEY, b"{}")
    blobs = fresh_blobs(storage)
    assert await body_of(blobs) == b"one"
    await storage.storage.delete(KEY)
    blobs.apply(changed())
    assert isinstance(await blobs.get(KEY), Missing)


STEPS = st.lists(
    st.sampled_from(["put", "message", "read", "refresh", "gap", "turn", "fail", "heal"]), max_size=40
)


@settings(max_examples=40, deadline=None)
@given(steps=STEPS)
def test_no_reader_ever_goes_back(steps: list[str], tmp_path_factory: pytest.TempPathFactory) -> None:
    """For any interleaving of puts, messages, faults and readers, a process's answers never get older.

    Bodies are rising numbers. A reader who comes after a message gets at least the body put before the
    message, unless the answer is marked stale; a refresh gets at least the body at the time of its request.
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
        async with asyncio.timeout(60):
            await asyncio.gather(*readers)
        await directory.close()

    asyncio.run(scenario())
