"""The number of rows that the log's statements read does not grow with the log."""

from __future__ import annotations

from typing import Any, Final

import pytest

from indexer.queries.log import hand_over, last_entry_of, log_backlog
from indexer.rows import ChangedLine
from shared.names import PackageName
from tests.conftest import MakeSettings
from tests.large_registry import tidy
from tests.log.logs import add_lines, sequence
from tests.plans import query_functions, watching_reads
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
    big = await tidy(settings, MAX_ROWS)
    with watching_reads() as reads:
        async with running_registry(settings, with_worker=False) as registry:
            await add_lines(registry, 4)
            async with registry.database.transaction() as tx:
                await hand_over(tx, [ChangedLine(PackageName("made"), "new", bytes(32), b"{}")])
            assert await sequence(registry) == 5
            assert await sequence(registry) == 0
            async with registry.database.reading() as connection:
                assert (await log_backlog(connection)).size == ENTRIES + 5
                await last_entry_of(connection, "made", "7")
    assert reads.missed(query_functions("indexer/queries/log.py")) == []
    assert reads.over(MAX_ROWS) | reads.scanning(big) == {}
