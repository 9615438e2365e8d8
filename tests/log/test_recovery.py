"""`log recover` restores what one side lost from the other, and leaves a fork alone."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from indexer.log.note import NoteSigner
from indexer.log.recovery import Recovered, recover
from shared.errors import LogDiverged
from shared.storage.interface import Found
from tests.archives import hello_archive
from tests.conftest import MakeSettings
from tests.indexer.upkeep.walks import overwrite, settle
from tests.log.logs import ORIGIN, add_lines, read_log, sequence, sequencer_of, with_log
from tests.stack import Registry, running_registry
from worker.process import open_parts

TABLES = ("log_state", "log_entries", "log_pending", "log_lines")


@pytest_asyncio.fixture
async def registry(make_settings: MakeSettings) -> AsyncIterator[Registry]:
    """A registry of which one version is logged; no worker runs."""
    settings = await make_settings(publish_wait_seconds=0)
    async with running_registry(settings, with_worker=False) as running:
        publisher = await running.add_publisher()
        await running.publish(hello_archive(), publisher)
        await settle(running)
        assert await sequence(running) == 1
        yield running


async def recovered(registry: Registry) -> Recovered:
    """Run the recovery."""
    async with open_parts(with_log(registry.settings)) as parts:
        return await recover(sequencer_of(parts))


async def dump(registry: Registry) -> None:
    """Keep a copy of the log's tables beside them."""
    async with registry.database.transaction() as tx:
        for table in TABLES:
            await tx.exec_driver_sql(f"CREATE TABLE dump_{table} AS TABLE {table}")


async def restore(registry: Registry) -> None:
    """Restore the copy, like pg_restore."""
    async with registry.database.transaction() as tx:
        for table in TABLES:
            await tx.exec_driver_sql(f"TRUNCATE {table}")
            await tx.exec_driver_sql(f"INSERT INTO {table} OVERRIDING SYSTEM VALUE TABLE dump_{table}")


async def test_a_database_of_yesterday_takes_what_storage_has(registry: Registry) -> None:
    """Then the log continues its one history; entries made meanwhile are not logged again."""
    await add_lines(registry, 300)
    await sequence(registry)
    await add_lines(registry, 4)
    await dump(registry)  # four lines are waiting
    await sequence(registry)
    await add_lines(registry, 500)
    await sequence(registry)
    before = await read_log(registry.storage)
    await restore(registry)
    with pytest.raises(LogDiverged, match="storage has a log of 805 entries, the database one of 301"):
        await sequence(registry)
    assert await recovered(registry) == Recovered(805, taken=504)
    assert await recovered(registry) == Recovered(805)
    assert await sequence(registry) == 0
    await add_lines(registry, 2)
    assert await sequence(registry) == 2
    after = await read_log(registry.storage)
    assert after.entries[:805] == before.entries


async def test_a_database_that_knows_no_log_takes_all_of_it(registry: Registry) -> None:
    """This is the state after `rebuild-from-tree`; the lines in the rows are logged already."""
    await add_lines(registry, 300)
    await sequence(registry)
    async with registry.database.transaction() as tx:
        for table in TABLES:
            await tx.exec_driver_sql(f"TRUNCATE {table}")
        await tx.exec_driver_sql("UPDATE index_state SET lines_generation = 0")
    with pytest.raises(LogDiverged, match="the database has none"):
        await sequence(registry)
    assert await recovered(registry) == Recovered(301, taken=301)
    assert await sequence(registry) == 0
    assert (await read_log(registry.storage)).head.size == 301


async def test_entries_that_had_a_place_but_no_signature_find_another_one(registry: Registry) -> None:
    """The dump was made between two steps of a turn; storage has other entries at these places now."""
    await add_lines(registry, 3)
    async with registry.database.transaction() as tx:
        await tx.exec_driver_sql(
            "WITH gone AS (DELETE FROM log_pending RETURNING *) INSERT INTO log_entries "
            "SELECT id + 1000 - (SELECT min(id) FROM gone) - 999, name, 'x' || version, entry, published_at "
            "FROM gone"
        )
    await dump(registry)
    async with registry.database.transaction() as tx:
        await tx.exec_driver_sql("DELETE FROM log_entries WHERE entry_index >= 1")
    await add_lines(registry, 5)
    await sequence(registry)
    await restore(registry)
    assert await recovered(registry) == Recovered(6, taken=5)
    assert await sequence(registry) == 3
    assert (await read_log(registry.storage)).head.size == 9


@pytest.mark.parametrize("lost", ["everything", "yesterday"])
async def test_storage_that_lost_files_gets_them_from_the_database(registry: Registry, lost: str) -> None:
    """All files, or those since the restored copy, are written; then the log continues."""
    await add_lines(registry, 300)
    await sequence(registry)
    early = await registry.storage.get("log/checkpoint")
    assert isinstance(early, Found)
    for step in (400, 500):
        await add_lines(registry, step)
        await sequence(registry)
    before = await read_log(registry.storage)
    if lost == "everything":
        for key in await registry.keys("log/"):
            await registry.storage.delete(key)
    else:
        await overwrite(registry.storage, "log/checkpoint", early.body)
        for path in ("tile/entries/002", "tile/0/003", "tile/entries/004.p/177"):
            await registry.storage.delete(f"log/{path}")
    with pytest.raises(LogDiverged):
        await sequence(registry)
    done = await recovered(registry)
    assert (done.size, done.taken) == (1201, 0)
    assert done.written >= 3
    assert (await read_log(registry.storage)).entries == before.entries
    await add_lines(registry, 1)
    assert await sequence(registry) == 1


async def test_a_tile_that_was_swapped_is_written_again(registry: Registry) -> None:
    """The rows prove what is right."""
    await add_lines(registry, 300)
    await sequence(registry)
    await overwrite(registry.storage, "log/tile/entries/000", b"\x00\x01x")
    assert await recovered(registry) == Recovered(301, written=1)
    assert (await read_log(registry.storage)).head.size == 301


async def test_a_fork_is_told_and_left_as_it_is(registry: Registry) -> None:
    """The restored database signed other entries than storage has, or an attacker signed."""
    await add_lines(registry, 10)
    await sequence(registry)
    async with registry.database.transaction() as tx:
        await tx.exec_driver_sql(
            "UPDATE log_state SET root = decode(repeat('00', 32), 'hex'), size = 5, previous_size = 4"
        )
    before = await registry.keys("log/")
    with pytest.raises(LogDiverged, match="has forked"):
        await recovered(registry)
    assert await registry.keys("log/") == before


async def test_a_checkpoint_of_another_key_is_not_taken(registry: Registry) -> None:
    """Write access to storage is not enough to add entries to the database."""
    other = NoteSigner(ORIGIN, bytes(32)).sign(f"{ORIGIN}\n99\n{'A' * 43}=\n")
    await overwrite(registry.storage, "log/checkpoint", other)
    with pytest.raises(LogDiverged, match="cannot be used"):
        await recovered(registry)
