"""The scrub notices an archive that differs from its row, reports it once, and forgets it after repair."""

from __future__ import annotations

import asyncio
import time
from collections.abc import MutableMapping
from dataclasses import replace
from typing import Any

import pytest
from structlog.testing import capture_logs

from indexer.metrics import SCRUB_DIFFERENCES
from indexer.upkeep import scrub
from indexer.upkeep.scrub import Scrub
from shared.blobs import archive_key
from shared.errors import StorageUnavailable
from shared.names import PackageName
from shared.storage.interface import Storage
from shared.versions import VersionText
from tests.archives import hello_archive
from tests.indexer.upkeep.walks import body_of, overwrite
from tests.stack import Registry, bearer, eventually
from worker.backlog import collect_backlog
from worker.process import open_parts
from worker.process import run as run_worker

FAST = 1 << 40
HELLO, WORLD = PackageName("hello"), PackageName("hello-world")
FIRST, SECOND, ONE = VersionText("0.1.0"), VersionText("0.2.0+b.1"), VersionText("1.0.0")
ALL = [archive_key(HELLO, FIRST), archive_key(HELLO, SECOND), archive_key(WORLD, ONE)]
Event = MutableMapping[str, Any]


async def scrubbed(registry: Registry, bytes_per_s: int = FAST) -> list[Event]:
    """Let a worker scrub until nothing is due. Returns its log lines about archives."""
    async with open_parts(registry.settings) as parts:
        with capture_logs() as logged:
            await Scrub(parts, bytes_per_s).run()
    return [entry for entry in logged if entry["event"].startswith("archive_")]


async def next_round(registry: Registry) -> list[Event]:
    """Scrub again, as if a day had passed."""
    await registry.rows("UPDATE scrub_progress SET next_round_at = now() RETURNING 1")
    await registry.rows("UPDATE scrub_findings SET checked_at = now() - interval '1 hour' RETURNING 1")
    return await scrubbed(registry)


async def damage(registry: Registry) -> dict[str, bytes]:
    """Truncate one archive, change a byte of another, remove the third.

    Returns their former bodies by key.
    """
    before = {key: await body_of(registry.storage, key) for key in ALL}
    truncated, changed, missing = ALL
    await rot(registry, truncated, before[truncated][:700])
    await rot(registry, changed, before[changed][:-1] + b"\1")
    await registry.storage.delete(missing)
    return before


async def rot(registry: Registry, key: str, body: bytes) -> None:
    """Change bytes without the registry; in a directory, the stored digest stays the same."""
    if registry.settings.stores_files:
        (registry.settings.data_dir / key).write_bytes(body)
    else:
        await overwrite(registry.storage, key, body)


class Watched:
    """A wrapper of storage that records which archives are read."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self.read: list[str] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._storage, name)

    async def was_read(self) -> bool:
        """True once an archive was read."""
        return bool(self.read)

    def open(self, key: str, *, start: int = 0, end: int | None = None) -> Any:
        """Record the key."""
        if start == 0:
            self.read.append(key)
        return self._storage.open(key, start=start, end=end)


async def test_whole_archives_are_read_once_a_day_and_nothing_is_told(settled: Registry) -> None:
    """Archives of a small registry are not read repeatedly."""
    async with open_parts(settled.settings) as parts:
        watched = Watched(parts.storage)
        for _ in range(3):
            await Scrub(replace(parts, storage=watched), FAST).run()
    assert watched.read == ALL
    assert await next_round(settled) == []
    assert await settled.rows("SELECT 1 FROM scrub_findings") == []


async def test_a_truncated_a_changed_and_a_missing_archive_are_told_once_each(settled: Registry) -> None:
    """Package and version are reported; the next round reports nothing new."""
    await damage(settled)
    told = sorted(
        (one["event"], one["package"], one["version"], one["kind"]) for one in await scrubbed(settled)
    )
    assert told == [
        ("archive_differs", HELLO, FIRST, "wrong_checksum"),
        ("archive_differs", HELLO, SECOND, "wrong_checksum"),
        ("archive_differs", WORLD, ONE, "missing"),
    ]
    assert await next_round(settled) == []
    async with open_parts(settled.settings) as parts:
        await collect_backlog(parts)
    assert SCRUB_DIFFERENCES._value.get() == 3


@pytest.mark.parametrize("storage_settings", ["fs"], indirect=True)
async def test_an_archive_that_was_repaired_is_told_and_counted_no_more(settled: Registry) -> None:
    """The finding ends within a minute or two of the repair, not only in the next round."""
    before = await damage(settled)
    await scrubbed(settled)
    for key, body in before.items():
        await overwrite(settled.storage, key, body)
    assert await scrubbed(settled) == [], "too soon: each was just looked at"
    await settled.rows("UPDATE scrub_findings SET checked_at = now() - interval '2 minutes' RETURNING 1")
    told = await scrubbed(settled)
    assert [one["event"] for one in told] == ["archive_restored"] * 3
    async with open_parts(settled.settings) as parts:
        await collect_backlog(parts)
    assert SCRUB_DIFFERENCES._value.get() == 0


@pytest.mark.parametrize("storage_settings", ["fs"], indirect=True)
async def test_an_archive_whose_version_was_removed_is_no_finding_any_more(settled: Registry) -> None:
    """`package remove-version` does this."""
    await damage(settled)
    await scrubbed(settled)
    await settled.rows("DELETE FROM package_versions WHERE version = '1.0.0' RETURNING 1")
    assert len(await settled.rows("SELECT 1 FROM scrub_findings")) == 2


@pytest.mark.parametrize("storage_settings", ["fs"], indirect=True)
async def test_an_archive_that_waits_to_be_published_is_left_alone(settled: Registry) -> None:
    """It is not yet where readers find it."""
    headers = bearer(await settled.add_token(await settled.add_user("bob"), "publish"))
    assert (await settled.publish(hello_archive(name="waiting"), headers)).status_code == 200
    assert await scrubbed(settled) == []


async def test_an_archive_that_cannot_be_read_is_told_while_storage_answers(settled: Registry) -> None:
    """A disk that fails in one place returns an error instead of bytes."""
    async with open_parts(settled.settings) as parts:
        broken = replace(parts, storage=Broken(parts.storage, ALL[0]))
        with capture_logs() as logged:
            await Scrub(broken, FAST).run()
    told = [
        (one["package"], one["version"], one["kind"]) for one in logged if one["event"] == "archive_differs"
    ]
    assert told == [(HELLO, FIRST, "unreadable")]


class Broken(Watched):
    """Storage in which one key cannot be read."""

    def __init__(self, storage: Storage, key: str) -> None:
        super().__init__(storage)
        self._key = key

    def open(self, key: str, *, start: int = 0, end: int | None = None) -> Any:
        """Fail like a disk."""
        if key == self._key:
            raise StorageUnavailable("input/output error")
        return super().open(key, start=start, end=end)


@pytest.mark.parametrize("storage_settings", ["fs"], indirect=True)
async def test_a_scrub_goes_on_behind_what_an_earlier_process_took(
    settled: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Frequent restarts must not begin with the first package each time."""
    monkeypatch.setattr(scrub, "ARCHIVES_PER_PAGE", 1)
    read = []
    for _ in ALL:
        async with open_parts(settled.settings) as parts:
            watched = Watched(parts.storage)
            slow = Scrub(replace(parts, storage=watched), 1)
            task = asyncio.create_task(slow.run())  # a byte per second: it never ends by itself
            await eventually(watched.was_read)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            read += watched.read
    assert read == ALL


@pytest.mark.parametrize("storage_settings", ["fs"], indirect=True)
async def test_workers_share_a_round(settled: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    """More workers read faster, and no archive is read twice."""
    monkeypatch.setattr(scrub, "ARCHIVES_PER_PAGE", 1)
    async with open_parts(settled.settings) as parts, open_parts(settled.settings) as others:
        one, other = Watched(parts.storage), Watched(others.storage)
        scrubs = Scrub(replace(parts, storage=one), FAST), Scrub(replace(others, storage=other), FAST)
        await asyncio.gather(*(some.run() for some in scrubs))
    assert sorted(one.read + other.read) == sorted(ALL)


@pytest.mark.parametrize("storage_settings", ["fs"], indirect=True)
async def test_reading_keeps_to_the_rate(settled: Registry) -> None:
    """Even a small archive counts, because of its request: three at two per second take over a second."""
    begun = time.monotonic()
    await scrubbed(settled, bytes_per_s=2 * scrub.MIN_ARCHIVE_BYTES)
    assert time.monotonic() - begun > 1.2


async def test_an_archive_that_lost_all_its_bytes_is_told(settled: Registry) -> None:
    """An empty range is an error for some kinds of storage."""
    await rot(settled, ALL[0], b"")
    assert [(one["version"], one["kind"]) for one in await scrubbed(settled)] == [(FIRST, "wrong_checksum")]


async def test_an_archive_of_many_pieces_is_hashed_whole(
    settled: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pieces end within the archive, at its end, and after it."""
    size_bytes = len(await body_of(settled.storage, ALL[0]))
    for piece_bytes in (512, size_bytes // 2, size_bytes, size_bytes + 1):
        monkeypatch.setattr(scrub, "PIECE_BYTES", piece_bytes)
        assert await next_round(settled) == [], piece_bytes


@pytest.mark.parametrize("storage_settings", ["fs"], indirect=True)
async def test_a_worker_scrubs_by_itself(settled: Registry) -> None:
    """It does not if the setting is 0."""
    await damage(settled)
    for bytes_per_s in (0, FAST):
        settings = settled.settings.model_copy(update={"scrub_bytes_per_second": bytes_per_s})
        worker = asyncio.create_task(run_worker(settings))
        try:
            if bytes_per_s:
                await settled.until_row("SELECT 1 FROM scrub_findings HAVING count(*) = 3")
            else:
                await settled.until_row("SELECT 1 FROM index_state HAVING bool_and(published_generation > 0)")
        finally:
            worker.cancel()
            await asyncio.gather(worker, return_exceptions=True)
        assert len(await settled.rows("SELECT 1 FROM scrub_findings")) == (3 if bytes_per_s else 0)
