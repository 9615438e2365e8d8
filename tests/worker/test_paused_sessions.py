"""A process that is paused in the middle of a statement does not keep its locks for ever."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
import pytest

from indexer.queries.sessions import end_paused
from shared.database import driver_dsn
from shared.postgres_connections import APPLICATION_NAME
from tests.archives import hello_archive
from tests.conftest import MakeSettings
from tests.faults.promises import DIRTY
from tests.stack import Registry, eventually, running_registry
from worker.process import run as run_worker

pytestmark = pytest.mark.parametrize("storage_settings", ["fs"], indirect=True)

LOCK_THE_PACKAGE = "SELECT 1 FROM packages FOR UPDATE"
IS_PAUSED = """
SELECT 1 FROM pg_stat_activity WHERE pid = :pid AND state = 'active' AND wait_event = 'ClientRead'
"""
IS_GONE = "SELECT 1 WHERE NOT EXISTS (SELECT 1 FROM pg_stat_activity WHERE pid = :pid)"


@asynccontextmanager
async def session(registry: Registry, name: str = APPLICATION_NAME) -> AsyncIterator[asyncpg.Connection]:
    """A session of another process, in a transaction."""
    settings = registry.settings
    connection = await asyncpg.connect(
        driver_dsn(settings.database_url.get_secret_value()),
        server_settings={"application_name": name, "search_path": settings.database_schema},
    )
    try:
        await connection.execute("BEGIN")
        yield connection
    finally:
        connection.terminate()


async def pause_in_a_statement(registry: Registry, connection: asyncpg.Connection) -> None:
    """Have a statement parsed and not executed, as a process that is paused in between leaves it."""
    await connection.prepare("SELECT 1")
    await registry.until_row(IS_PAUSED, pid=connection.get_server_pid())


async def until_gone(registry: Registry, connection: asyncpg.Connection) -> None:
    """Wait until Postgres has ended a session."""
    await registry.until_row(IS_GONE, pid=connection.get_server_pid())


async def test_only_a_session_that_stopped_in_a_statement_is_ended(workerless_registry: Registry) -> None:
    """Others stay: one that has not waited long enough, one of another program, and an idle one."""
    registry = workerless_registry
    async with session(registry) as paused, session(registry, "psql") as other, session(registry) as idle:
        for connection in (paused, other):
            await pause_in_a_statement(registry, connection)
        async with registry.database.reading() as connection:
            assert await end_paused(connection, 3600) == 0
            assert await end_paused(connection, 0) == 1
        await until_gone(registry, paused)
        assert await other.fetchval("SELECT 2") == 2
        assert await idle.fetchval("SELECT 3") == 3


async def test_what_waited_for_the_lock_of_a_paused_process_is_published(make_settings: MakeSettings) -> None:
    """Its session ends after twice the time that a statement may take."""
    settings = await make_settings(publish_wait_seconds=0, database_timeout_seconds=1)
    async with running_registry(settings, with_worker=False) as registry:
        await registry.publish(hello_archive(), await registry.add_publisher())
        async with session(registry) as paused:
            await paused.fetch(LOCK_THE_PACKAGE)
            await pause_in_a_statement(registry, paused)

            async def is_published() -> bool:
                return (await registry.rows(DIRTY))[0].dirty == 0

            worker = asyncio.create_task(run_worker(settings))
            try:
                await eventually(is_published)
            finally:
                worker.cancel()
                await asyncio.gather(worker, return_exceptions=True)
            await until_gone(registry, paused)
