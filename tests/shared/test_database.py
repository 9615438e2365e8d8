"""Connections: URLs in libpq's form, and the driver's errors as ours."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from sqlalchemy import text

from deploy.local.postgres import EmbeddedPostgres
from deploy.migrations.runner import migrate
from shared.causes import cause_of
from shared.database import Database, driver_dsn
from shared.errors import BadRequest, DatabaseFailed, DatabaseUnavailable, RegistryError
from shared.postgres_connections import Connector
from shared.settings import Settings
from shared.statements import fetch
from tests.conftest import command


@pytest.mark.parametrize(
    ("url", "dsn"),
    [
        ("postgres://u:p@h:5432/d", "postgres://u:p@h:5432/d"),
        ("postgresql:///d?host=/run/pg", "postgresql:///d?host=%2Frun%2Fpg"),
        ("postgres://h1:1,h2:2/d?sslmode=require", "postgres://h1:1,h2:2/d?sslmode=require"),
        ("postgres://h/d?connect_timeout=3&application_name=a", "postgres://h/d?application_name=a"),
        ("postgres://u:p%3F@h/d?keepalives=1", "postgres://u:p%3F@h/d"),
        ("postgres://u:p@localhost/d?host=/run/pg", "postgres://u:p@/d?host=%2Frun%2Fpg"),
        ("postgres://localhost:5433/d?host=/run/pg", "postgres:///d?port=5433&host=%2Frun%2Fpg"),
        ("postgres://u@[::1]:1/d?hostaddr=::2", "postgres://u@/d?port=1&host=%3A%3A2"),
        ("postgres:///d?hostaddr=::1&sslsni=0", "postgres:///d?host=%3A%3A1"),
        (
            "postgres://h/d?ssl-mode=require&ssl-root-cert=/ca.pem&statement-cache-capacity=0",
            "postgres://h/d?sslmode=require&sslrootcert=%2Fca.pem",
        ),
        ("postgres://h/d?options[work_mem]=8MB", "postgres://h/d?work_mem=8MB"),
    ],
)
def test_a_url_of_a_deployment_reaches_the_driver(url: str, dsn: str) -> None:
    """Both schemes, sockets and several hosts work.

    Parameters that only libpq or the older server's driver knows are dropped or translated for our driver.
    """
    assert driver_dsn(url) == dsn


async def test_both_schemes_and_a_socket_directory_connect(postgres: EmbeddedPostgres) -> None:
    """The forms that deployments write."""
    assert "postgres@/" in postgres.url
    for url in (
        postgres.url,
        postgres.url.replace("postgresql://", "postgres://"),
        postgres.url.replace("postgres@/", "postgres:secret@db.example:5432/"),
    ):
        url += "&ssl-mode=disable&statement-cache-capacity=9&connect_timeout=5"
        database = Database(Settings(database_url=url))
        await database.check()
        await database.close()


async def run(database: Database, sql: str) -> None:
    """Statements in one transaction."""
    async with database.transaction() as tx:
        for statement in sql.split("; "):
            await tx.execute(text(statement))


@pytest.mark.parametrize(
    ("sql", "error"),
    [
        ("SELECT * FROM", DatabaseFailed),
        ("SELECT * FROM nothing", DatabaseUnavailable),
        ("SELECT 'x'::int", BadRequest),
        ("SELECT pg_terminate_backend(pg_backend_pid())", DatabaseUnavailable),
        ("SET LOCAL statement_timeout = 1; SELECT pg_sleep(1)", DatabaseUnavailable),
        ("SET TRANSACTION READ ONLY; CREATE TABLE t ()", DatabaseUnavailable),
    ],
)
async def test_what_the_driver_raises_is_one_of_ours(
    postgres: EmbeddedPostgres, sql: str, error: type[RegistryError]
) -> None:
    """503 if a retry may help (or a migration is missing), 400 for a bad value, else 500."""
    database = Database(Settings(database_url=postgres.url))
    try:
        with pytest.raises(error):
            await run(database, sql)
        await database.check()
    finally:
        await database.close()


@pytest.mark.parametrize(
    ("sql", "error"),
    [
        ("SELECT * FROM", DatabaseFailed),
        ("SELECT 'x'::int", BadRequest),
        ("SELECT pg_terminate_backend(pg_backend_pid())", DatabaseUnavailable),
    ],
)
async def test_the_drivers_own_connection_raises_the_same_errors(
    postgres: EmbeddedPostgres, sql: str, error: type[RegistryError]
) -> None:
    """With a transaction and without, and the pool goes on."""
    database = Database(Settings(database_url=postgres.url, database_pool_size=1))
    try:
        for opened in (database.driver, database.driver_transaction):
            with pytest.raises(error):
                async with opened() as driver:
                    await fetch(driver, sql)
            await database.check()
    finally:
        await database.close()


async def test_a_connection_that_postgres_refuses_raises_the_same_error(postgres: EmbeddedPostgres) -> None:
    """As while it starts or shuts down."""
    database = Database(Settings(database_url=postgres.url_of("nothing")))
    for opened in (database.transaction, database.reading, database.driver, database.driver_transaction):
        with pytest.raises(DatabaseUnavailable):
            async with opened() as connection:
                await fetch(connection, "SELECT 1")
    await database.close()


async def test_a_cancelled_statement_of_the_driver_leaves_no_transaction_behind(
    postgres: EmbeddedPostgres,
) -> None:
    """The connection is given up, and its lock with it."""
    database = Database(Settings(database_url=postgres.url, database_pool_size=1))

    async def lock_and_wait() -> None:
        async with database.driver_transaction() as tx:
            await fetch(tx, "SELECT pg_advisory_xact_lock(7)")
            begun.set()
            await fetch(tx, "SELECT pg_sleep(30)")

    begun = asyncio.Event()
    waiting = asyncio.create_task(lock_and_wait())
    await begun.wait()
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    async with database.transaction() as tx:  # over SQLAlchemy, the same statement
        assert [dict(row) for row in await fetch(tx, "SELECT pg_advisory_xact_lock(7)")] != []
        assert await fetch(tx, "SET LOCAL lock_timeout = 1") == ()
    await database.close()


async def test_a_database_that_is_away_is_unavailable() -> None:
    """Nothing listens at its address; the message does not contain the address."""
    database = Database(Settings(database_url="postgres://u:secret@127.0.0.1:1/d"))
    with pytest.raises(DatabaseUnavailable) as refusal:
        await database.check()
    assert "127.0.0.1" not in refusal.value.message
    assert refusal.value.retry_after_s == 2
    await database.close()


async def test_a_full_pool_is_unavailable_not_endless(
    postgres: EmbeddedPostgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The wait for a connection is limited."""
    monkeypatch.setattr("shared.database.POOL_WAIT_S", 0.05)
    database = Database(Settings(database_url=postgres.url, database_pool_size=1))
    try:
        async with database.transaction():
            with pytest.raises(DatabaseUnavailable):
                await database.check()
    finally:
        await database.close()


async def test_the_schema_of_the_settings_comes_first(postgres: EmbeddedPostgres) -> None:
    """It is first in every connection's search_path, followed by public."""
    database = Database(Settings(database_url=postgres.url, database_schema="x07_own"))
    async with database.transaction() as tx:
        path = (await tx.execute(text("SHOW search_path"))).scalar_one()
    assert path == '"x07_own", public'
    await database.close()


async def test_a_schema_without_tables_never_leads_to_those_of_public(
    new_database: Callable[[], Awaitable[str]],
) -> None:
    """With a misspelt schema, a command would read and change another registry."""
    misspelt = Settings(database_url=await new_database(), database_schema="x07_misspelt")
    for schema_exists in (False, True):
        if schema_exists:
            await command(misspelt.database_url.get_secret_value(), "CREATE SCHEMA x07_misspelt")
        database = Database(misspelt)
        with pytest.raises(DatabaseUnavailable) as refusal:
            await database.check()
        assert '"x07_misspelt" has no tables' in cause_of(refusal.value)
        await database.close()
    await migrate(misspelt)
    database = Database(misspelt)
    await database.check()
    await database.close()


@pytest.mark.parametrize("is_pooled", [False, True])
async def test_a_connection_that_nobody_waits_for_any_more_is_closed(
    postgres: EmbeddedPostgres, monkeypatch: pytest.MonkeyPatch, is_pooled: bool
) -> None:
    """The caller is cancelled while the new connection is checked."""
    checked: asyncio.Queue[Any] = asyncio.Queue()

    async def hang(_: Connector, connection: Any) -> bool:
        checked.put_nowait(connection)
        return bool(await asyncio.Event().wait())

    monkeypatch.setattr(Connector, "_are_in_force", hang)
    connector = Connector(postgres.url, "public", 30.0)
    connector.is_pooled = is_pooled
    opening = asyncio.create_task(connector.connect())
    connection = await checked.get()
    opening.cancel()
    with pytest.raises(asyncio.CancelledError):
        await opening
    assert connection.is_closed()


async def test_a_patient_database_lets_a_statement_take_its_time(
    postgres: EmbeddedPostgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A migration may build an index on a large table for any length of time; a request is limited."""
    monkeypatch.setattr("shared.postgres_connections.SILENCE_S", 0.1)
    settings = Settings(database_url=postgres.url, database_timeout_seconds=0.2)
    patient, hasty = Database(settings, is_patient=True), Database(settings)
    await run(patient, "SELECT pg_sleep(0.6)")
    with pytest.raises(DatabaseUnavailable):
        await run(hasty, "SELECT pg_sleep(0.6)")
    with pytest.raises(DatabaseUnavailable):  # even if Postgres itself sets no limit
        await run(hasty, "SET LOCAL statement_timeout = 0; SELECT pg_sleep(0.6)")
    await patient.close()
    await hasty.close()
