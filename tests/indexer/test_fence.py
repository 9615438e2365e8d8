"""A fence knows that the lock is gone when its own proof is cut off."""

from __future__ import annotations

import asyncio

import pytest
from sqlalchemy import text

from indexer.fence import Fence
from shared.errors import DatabaseUnavailable
from tests.stack import Registry, eventually

SLEEPING = "SELECT 1 FROM pg_stat_activity WHERE state = 'active' AND query = 'SELECT pg_sleep(30)'"


async def test_a_proof_that_is_cancelled_loses_the_lock(fs_registry: Registry) -> None:
    """SQLAlchemy gives up the connection then; a commit on it would fail in a way that nobody expects."""

    async def commit_behind_a_cancelled_proof(*, is_waited_for: bool) -> None:
        async with fs_registry.database.transaction() as tx:

            async def prove() -> None:
                await tx.execute(text("SELECT pg_sleep(30)"))

            fence = Fence(fs_registry.storage, prove)
            proving = asyncio.create_task(fence.prove())
            await eventually(lambda: fs_registry.rows(SLEEPING))
            proving.cancel()
            if is_waited_for:
                await asyncio.wait([proving])
            fence.require_held()

    for is_waited_for in (True, False):
        with pytest.raises(DatabaseUnavailable):
            await commit_behind_a_cancelled_proof(is_waited_for=is_waited_for)
