"""Migrations: on an empty database, on the older server's, in any schema, and several at once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import asyncpg
import pytest
import pytest_asyncio

from deploy.local.postgres import EmbeddedPostgres
from deploy.migrations.runner import migrate
from deploy.migrations.versions import __path__ as versions_path
from shared.errors import DatabaseFailed
from shared.settings import Settings
from shared.tables import metadata

DEPLOYED = "0001_deployed_tables"
SQLX = """
CREATE TABLE _sqlx_migrations (version bigint PRIMARY KEY, description text NOT NULL,
    installed_on timestamptz NOT NULL DEFAULT now(), success boolean NOT NULL, checksum bytea NOT NULL,
    execution_time bigint NOT NULL);
INSERT INTO _sqlx_migrations VALUES (1, 'init', now(), true, 'x', 1);
INSERT INTO users (handle) VALUES ('alice');
INSERT INTO packages (name, created_by) SELECT 'hello', id FROM users;
"""
COLUMNS = """
SELECT table_name, column_name, data_type, is_nullable FROM information_schema.columns
WHERE table_schema = $1 AND table_name <> 'alembic_version' ORDER BY 1, 2
"""


@pytest_asyncio.fixture
async def empty(postgres: EmbeddedPostgres) -> AsyncIterator[str]:
    """The URL of a database without tables."""
    admin = await asyncpg.connect(postgres.url)
    await admin.execute("DROP DATABASE IF EXISTS migrated")
    await admin.execute("CREATE DATABASE migrated")
    await admin.close()
    yield postgres.url_of("migrated")


@pytest_asyncio.fixture
async def connection(empty: str) -> AsyncIterator[asyncpg.Connection]:
    """A connection to it."""
    connection = await asyncpg.connect(empty)
    yield connection
    await connection.close()


def deployed_tables() -> str:
    """The SQL that makes the contract's tables."""
    namespace: dict[str, object] = {}
    source = next(iter(versions_path)) + f"/{DEPLOYED}.py"
    with open(source) as file:
        exec(compile(file.read(), source, "exec"), namespace)  # noqa: S102 - our own migration
    return str(namespace["TABLES"])


async def test_the_migrated_tables_are_those_that_the_code_knows(
    empty: str, connection: asyncpg.Connection
) -> None:
    """Each table of shared/tables with its columns, neither more nor less."""
    await migrate(Settings(database_url=empty))
    stored: dict[str, set[str]] = {}
    for table, column, _, _ in await connection.fetch(COLUMNS, "public"):
        stored.setdefault(table, set()).add(column)
    for table in metadata.sorted_tables:
        assert stored[table.name] == {column.name for column in table.columns}, table.name


async def test_a_database_of_the_older_server_is_adopted_unchanged(
    empty: str, connection: asyncpg.Connection
) -> None:
    """Its tables and history are unchanged; its packages begin as dirty."""
    await connection.execute(deployed_tables())
    await connection.execute(SQLX)
    before = await connection.fetch(COLUMNS, "public")
    await migrate(Settings(database_url=empty))
    after = await connection.fetch(COLUMNS, "public")
    assert [row for row in after if row["table_name"] in {row["table_name"] for row in before}] == before
    assert await connection.fetchval("SELECT count(*) FROM _sqlx_migrations") == 1
    assert await connection.fetchval("SELECT generation - published_generation FROM index_state") == 1


async def test_a_database_of_an_early_release_of_the_older_server_is_left_alone(
    empty: str, connection: asyncpg.Connection
) -> None:
    """Otherwise each request would fail on the missing columns; the message says what to do."""
    await connection.execute(deployed_tables())
    await connection.execute("ALTER TABLE package_versions DROP COLUMN signature_bytes")
    await connection.execute("DROP TABLE oauth_states")
    with pytest.raises(DatabaseFailed, match=r"lack package_versions\.signature_bytes, oauth_states\.state"):
        await migrate(Settings(database_url=empty))
    assert await connection.fetch("SELECT 1 FROM pg_tables WHERE tablename = 'alembic_version'") == []


async def test_another_schema_is_made_and_used_alone(empty: str, connection: asyncpg.Connection) -> None:
    """With X07_REGISTRY_DATABASE_SCHEMA, nothing is created in public."""
    await migrate(Settings(database_url=empty, database_schema="x07"))
    tables = await connection.fetch(
        "SELECT table_schema FROM information_schema.tables WHERE table_name = 'packages'"
    )
    assert [row["table_schema"] for row in tables] == ["x07"]


async def test_migrations_at_once_wait_for_each_other(empty: str, connection: asyncpg.Connection) -> None:
    """Every process of a new deployment may run the migrations when it starts."""
    await asyncio.gather(*(migrate(Settings(database_url=empty)) for _ in range(4)))
    assert await connection.fetchval("SELECT count(*) FROM alembic_version") == 1
