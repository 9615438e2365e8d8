"""Reindexing beside workers that publish the same packages."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import text

from indexer.upkeep import reindex
from indexer.upkeep.reindex import Reindexing
from tests.stack import Registry
from worker.process import open_parts

LOCK = """
    SELECT 1 FROM index_state s JOIN packages p ON p.id = s.package_id WHERE p.name = 'hello' FOR UPDATE OF s
"""


class Unwatched:
    """Progress that nobody looks at."""

    def begin(self, what: str, total: int | None = None) -> None:
        """A part begins."""

    def advance(self, count: int = 1) -> None:
        """Some items are done."""


async def test_a_package_that_a_worker_is_writing_is_written_behind_it(
    settled: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The worker's sweep takes what reindexing made dirty, which is no failure."""
    is_held = False
    publish = reindex.publish_packages

    async def publish_beside_a_worker(*arguments: Any) -> Any:
        nonlocal is_held
        async with settled.database.transaction() as tx:
            await tx.execute(text(LOCK))
            is_held = True
            return await publish(*arguments)

    monkeypatch.setattr(reindex, "publish_packages", publish_beside_a_worker)
    async with open_parts(settled.settings) as parts:
        reindexing = Reindexing(parts, Unwatched())
        failed = [one async for one in reindexing.run()]
    assert is_held
    assert failed == []
    assert reindexing.is_complete
    dirty = "SELECT 1 FROM index_state WHERE generation <> published_generation"
    assert await settled.rows(dirty) == []
