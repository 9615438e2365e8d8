"""What readers see over HTTP while the tree changes and while storage fails, on a real directory."""

from __future__ import annotations

import asyncio
import logging
import os
from pathlib import Path

import httpx
import pytest
from prometheus_client import REGISTRY
from structlog.testing import capture_logs

from shared.messages import Change
from shared.settings import Settings
from tests.api.read.http.reading import (
    ARCHIVE_KEY,
    ARCHIVE_PATH,
    BODIES,
    INDEX_KEY,
    INDEX_PATH,
    LARGE_BODY,
    LARGE_KEY,
    LARGE_PATH,
    Reading,
    etag_of,
    reading,
)
from tests.stack import eventually

OLD, NEW = BODIES[INDEX_KEY], BODIES[INDEX_KEY] + b'{"version":"0.2.0"}\n'
CHANGE = Change((INDEX_KEY,))
STALE = "x-x07-stale"


@pytest.mark.parametrize("key", [INDEX_KEY, ARCHIVE_KEY])
async def test_a_hundred_readers_at_once_cost_one_read_of_storage(own_tier: Reading, key: str) -> None:
    """All requests miss the cache and wait for one load of storage."""
    path = {INDEX_KEY: INDEX_PATH, ARCHIVE_KEY: ARCHIVE_PATH}[key]
    own_tier.watched.hold()
    readers = [asyncio.create_task(own_tier.http.get(path)) for _ in range(100)]
    await eventually(lambda: has_read(own_tier, key, 1))
    own_tier.watched.let_go()
    answers = await asyncio.gather(*readers)
    assert {answer.content for answer in answers} == {BODIES[key]}
    assert own_tier.watched.reads.count(key) == 1


async def test_a_message_makes_the_new_body_visible_at_once(own_tier: Reading) -> None:
    """Until the message comes, the cache is trusted; after it, nobody gets the old body or a 304 for it."""
    assert (await own_tier.http.get(INDEX_PATH)).content == OLD
    await own_tier.put(INDEX_KEY, NEW)
    assert (await own_tier.http.get(INDEX_PATH)).content == OLD
    own_tier.service.apply(CHANGE)
    answer = await own_tier.http.get(INDEX_PATH, headers={"if-none-match": etag_of(OLD)})
    assert (answer.status_code, answer.content, answer.headers["etag"]) == (200, NEW, etag_of(NEW))


async def test_after_a_gap_in_the_messages_everything_is_confirmed(own_tier: Reading) -> None:
    """This includes a name that was missing."""
    new_path = "/index/ne/w-/new-one"
    assert (await own_tier.http.get(INDEX_PATH)).content == OLD
    assert (await own_tier.http.get(new_path)).status_code == 404
    await own_tier.put(INDEX_KEY, NEW)
    await own_tier.put(new_path.removeprefix("/"), b"{}\n")
    own_tier.service.suspect_all()
    assert (await own_tier.http.get(INDEX_PATH)).content == NEW
    assert (await own_tier.http.get(new_path)).content == b"{}\n"


@pytest.mark.parametrize(
    "query", ["x07_refresh=1732460000000", "x07_refresh=", "x07_refresh", "a=b&x07_refresh=1"]
)
async def test_a_refresh_reads_past_the_cache(own_tier: Reading, query: str) -> None:
    """The body that the refresh found is served to everyone from then on."""
    await own_tier.http.get(INDEX_PATH)
    await own_tier.put(INDEX_KEY, NEW)
    assert (await own_tier.http.get(f"{INDEX_PATH}?{query}")).content == NEW
    assert (await own_tier.http.get(INDEX_PATH)).content == NEW


async def test_without_messages_the_time_to_live_is_the_bound(tmp_path: Path) -> None:
    """A reader sees the new body at the latest after the time-to-live."""
    async with reading(Settings(data_dir=tmp_path, read_ttl_seconds=0.2)) as tier:
        assert (await tier.http.get(INDEX_PATH)).content == OLD
        await tier.put(INDEX_KEY, NEW)

        async def is_new() -> bool:
            return (await tier.http.get(INDEX_PATH)).content == NEW

        await eventually(is_new)


async def test_a_load_that_a_message_overtook_is_not_kept_as_fresh(own_tier: Reading) -> None:
    """The slow load read the old body; readers who ask after the message get the new one, which is kept."""
    own_tier.watched.hold()
    slow = asyncio.create_task(own_tier.http.get(INDEX_PATH))
    await eventually(lambda: has_read(own_tier, INDEX_KEY, 1))
    await own_tier.put(INDEX_KEY, NEW)
    own_tier.service.apply(CHANGE)
    later = asyncio.create_task(own_tier.http.get(INDEX_PATH))
    own_tier.watched.let_go()
    assert (await slow).content in (OLD, NEW)
    assert (await later).content == NEW
    assert [(await own_tier.http.get(INDEX_PATH)).content for _ in range(5)] == [NEW] * 5


async def test_no_reader_goes_back_while_the_tree_changes(own_tier: Reading) -> None:
    """On each connection the numbers only rise, whatever messages, refreshes and loads interleave."""
    await own_tier.put(INDEX_KEY, b"0")

    async def publish() -> None:
        for number in range(1, 60):
            await own_tier.put(INDEX_KEY, str(number).encode())
            if number % 3:
                own_tier.service.apply(CHANGE)
        own_tier.service.suspect_all()

    async def read(query: str) -> list[int]:
        seen: list[int] = []
        while not publishing.done():
            seen.append(int((await own_tier.http.get(f"{INDEX_PATH}{query}")).content))
        return [*seen, int((await own_tier.http.get(INDEX_PATH)).content)]

    publishing = asyncio.create_task(publish())
    for seen in await asyncio.gather(*(read(query) for query in ("", "", "?x07_refresh=1"))):
        assert seen == sorted(seen)
        assert seen[-1] == 59


async def test_while_storage_fails_what_is_held_is_served_and_says_so(
    own_tier: Reading, tmp_path: Path
) -> None:
    """Stale answers are counted too. A blob that is not cached is an error. Afterwards the mark is gone."""
    await own_tier.http.get(INDEX_PATH)
    before = stale_answers()
    break_file(tmp_path / "tree" / INDEX_KEY)
    break_file(tmp_path / "tree" / ARCHIVE_KEY)
    own_tier.service.suspect_all()
    for _ in range(3):
        stale = await own_tier.http.get(INDEX_PATH)
        assert (stale.status_code, stale.content, stale.headers[STALE]) == (200, OLD, "true")
    known = await own_tier.http.get(INDEX_PATH, headers={"if-none-match": etag_of(OLD)})
    assert (known.status_code, known.headers[STALE]) == (304, "true")
    assert stale_answers() - before == 4
    failed = await own_tier.http.get(ARCHIVE_PATH)
    assert (failed.status_code, failed.json()["code"]) == (500, "X07REG_STORAGE")
    await own_tier.put(INDEX_KEY, NEW)
    own_tier.service.apply(CHANGE)

    async def is_healed() -> bool:
        answer = await own_tier.http.get(INDEX_PATH)
        return answer.content == NEW and STALE not in answer.headers

    await eventually(is_healed)


async def test_an_archive_that_breaks_off_does_not_look_whole(
    own_tier: Reading, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The connection ends before the promised length; the log has one line with the code and no traceback."""
    await own_tier.put(LARGE_KEY, LARGE_BODY)
    async with own_tier.http.stream("GET", LARGE_PATH) as answer:
        assert answer.headers["content-length"] == str(len(LARGE_BODY))
        os.truncate(tmp_path / "tree" / LARGE_KEY, 1000)
        with capture_logs() as logs, pytest.raises(httpx.RemoteProtocolError):
            await answer.aread()
    said = [(entry["log_level"], entry["event"], entry["code"], entry["path"]) for entry in logs]
    assert said == [("warning", "answer_cut", "X07REG_UNAVAILABLE", LARGE_PATH)]
    assert [record.message for record in caplog.records if record.levelno >= logging.WARNING] == []


async def test_a_reader_that_takes_nothing_holds_the_stream_back(own_tier: Reading) -> None:
    """Storage is read no faster than the reader reads; when the reader goes away, reading stops."""
    size_bytes = 4 * len(LARGE_BODY)
    await own_tier.put(LARGE_KEY, LARGE_BODY * 4)
    reader, writer = await asyncio.open_connection(own_tier.http.base_url.host, own_tier.http.base_url.port)
    writer.write(f"GET {LARGE_PATH} HTTP/1.1\r\nhost: a.example\r\n\r\n".encode())
    assert (await reader.readline()).startswith(b"HTTP/1.1 200")
    await asyncio.sleep(0.3)  # anything that is sent arrives within this time: all of it takes a tenth
    # The kernel decides how much is in the sockets' buffers.
    assert 0 < own_tier.watched.streamed_bytes < size_bytes // 2
    writer.close()

    async def has_stopped() -> bool:
        return own_tier.watched.open_streams == 0

    await eventually(has_stopped)
    assert own_tier.watched.streamed_bytes < size_bytes // 2


def break_file(path: Path) -> None:
    """Make a blob unreadable, also to root: a link to itself."""
    path.unlink()
    path.symlink_to(path)


def stale_answers() -> float:
    """The count of stale answers in the metric."""
    return REGISTRY.get_sample_value("x07_read_stale_answers_total") or 0.0


async def has_read(tier: Reading, key: str, times: int) -> bool:
    """True once storage was asked for a key this many times."""
    return tier.watched.reads.count(key) >= times
