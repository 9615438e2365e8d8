"""Migrations only expand the schema, so that servers of the previous release continue to work."""

from __future__ import annotations

from collections.abc import AsyncIterator

import asyncpg
import pytest_asyncio

from deploy.local.postgres import EmbeddedPostgres
from tests.deploy.expansion import Catalog, breaking_migrations, breaks, read_catalog, revisions, upgrade


@pytest_asyncio.fixture
async def empty(postgres: EmbeddedPostgres) -> AsyncIterator[str]:
    """The URL of a database without tables."""
    admin = await asyncpg.connect(postgres.url)
    await admin.execute("DROP DATABASE IF EXISTS expanded WITH (FORCE)")
    await admin.execute("CREATE DATABASE expanded")
    await admin.close()
    yield postgres.url_of("expanded")


async def test_no_migration_takes_away_or_demands(empty: str) -> None:
    """Everything of the previous revision still exists, unchanged and no harder to satisfy."""
    assert await breaking_migrations(empty) == {}


CONTRACTIONS = {
    "ALTER TABLE packages DROP COLUMN latest_version": "packages.latest_version",
    "ALTER TABLE packages RENAME COLUMN latest_version TO newest": "packages.latest_version",
    "DROP TABLE catalog_changes": "catalog_changes.id",
    "ALTER TABLE packages ALTER latest_version SET NOT NULL": "packages.latest_version",
    "ALTER TABLE tokens ALTER label DROP DEFAULT": "tokens.label",
    "ALTER TABLE tokens ADD kind text NOT NULL": "tokens.kind: is new, and must be given",
    "ALTER TABLE tokens ADD CHECK (label <> '')": "tokens: is new: CHECK",
    "CREATE UNIQUE INDEX ON tokens (label)": "tokens: is new: CREATE UNIQUE INDEX",
}
EXPANSION = """
    CREATE TABLE extra (id bigint PRIMARY KEY, package_id uuid NOT NULL REFERENCES packages (id));
    ALTER TABLE tokens ADD expires_at timestamptz, ADD uses integer NOT NULL DEFAULT 0;
    CREATE INDEX ON tokens (label);
    """


async def test_the_check_finds_each_way_to_break_an_older_server(empty: str) -> None:
    """It also accepts new tables, optional columns, and plain indexes."""
    await upgrade(empty, revisions()[-1])
    connection = await asyncpg.connect(empty)
    before = await read_catalog(connection)
    for sql, told in CONTRACTIONS.items():
        found = await _broken_by(connection, before, sql)
        assert any(told in line for line in found), (sql, found)
    assert await _broken_by(connection, before, EXPANSION) == []
    await connection.close()


async def _broken_by(connection: asyncpg.Connection, before: Catalog, sql: str) -> list[str]:
    """What a change breaks; the change is rolled back."""
    change = connection.transaction()
    await change.start()
    await connection.execute(sql)
    found = breaks(before, await read_catalog(connection))
    await change.rollback()
    return found
