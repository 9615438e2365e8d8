"""The number of rows that the log's statements read does not grow with the log."""

from __future__ import annotations

from typing import Any, Final

import pytest

from indexer.queries.log import last_entry_of, log_backlog
from shared.database import Database
from tests.conftest import MakeSettings
from tests.log.logs import add_lines, sequence
from tests.plans import watching_reads
from tests.stack import running_registry

ENTRIES: Final = 20_000
# A turn reads the entries of the last bundle, and the new ones.
MAX_ROWS: Final = 600


@pytest.fixture
def storage_settings(tmp_path: Any) -> dict[str, Any]:
    """A directory, because plans do not concern storage."""
    return {"storage": "fs", "data_dir": tmp_path / "tree"}


async def test_no_statement_of_a_turn_reads_the_whole_log(make_settings: MakeSettings) -> None:
    """Neither do the query for work, twice per second, and the metrics."""
    settings = await make_settings(publish_wait_seconds=0)
    async with running_registry(settings, with_worker=False) as registry:
        await sequence(registry)
        await add_lines(registry, ENTRIES)
        assert await sequence(registry) == ENTRIES
        database = Database(settings, is_patient=True)
        async with database.transaction() as tx:
            await tx.exec_driver_sql("ANALYZE")
        await database.close()
        with watching_reads() as reads:
            await add_lines(registry, 5)
            assert await sequence(registry) == 5
            assert await sequence(registry) == 0
            async with registry.database.reading() as connection:
                assert (await log_backlog(connection)).size == ENTRIES + 5
                await last_entry_of(connection, "made", "7")
        assert len(reads.rows) > 5
        assert reads.over(MAX_ROWS, frozenset()) == []
