"""Checks that each migration only expands, with Postgres's own catalog before and after it.

A server of the previous revision must continue to work: everything that it uses is unchanged, and nothing new
blocks its statements.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import asyncpg
from alembic import command
from alembic.config import Config
from sqlalchemy import Connection

import deploy.migrations
from shared.database import Database
from shared.settings import Settings

SCRIPTS = Path(deploy.migrations.__file__).parent
SCHEMA = "public"
COLUMNS = """
SELECT table_name, column_name, data_type, is_nullable, column_default, is_identity
FROM information_schema.columns WHERE table_schema = $1
"""
# Everything that can make a statement on a table fail. Foreign keys from new tables to old ones are left
# out: they only block deletes, which none of our servers does to these rows. So are deferred triggers, which
# are no condition.
CONSTRAINTS = """
SELECT c.relname, pg_get_constraintdef(k.oid) FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid
JOIN pg_namespace n ON n.oid = k.connamespace
WHERE n.nspname = $1 AND k.contype NOT IN ('n', 't')
UNION SELECT tablename, indexdef FROM pg_indexes WHERE schemaname = $1 AND indexdef LIKE 'CREATE UNIQUE%'
"""


@dataclass(frozen=True)
class Catalog:
    """The requirements of a schema. columns: type, nullability, default and identity by table and column."""

    columns: dict[tuple[str, str], tuple[str, bool, str | None, bool]]
    constraints: frozenset[tuple[str, str]]

    @property
    def tables(self) -> set[str]:
        """Names of the tables and views."""
        return {table for table, _ in self.columns}


async def read_catalog(connection: asyncpg.Connection) -> Catalog:
    """The catalog of a database as the connection's transaction sees it."""
    columns = {
        (table, column): (kind, nullable == "YES", default, identity == "YES")
        for table, column, kind, nullable, default, identity in await connection.fetch(COLUMNS, SCHEMA)
    }
    found = await connection.fetch(CONSTRAINTS, SCHEMA)
    return Catalog(columns, frozenset((table, definition) for table, definition in found))


def breaks(before: Catalog, after: Catalog) -> list[str]:
    """The ways in which the second catalog breaks a server that expects the first."""
    found = []
    for (table, column), was in before.columns.items():
        now = after.columns.get((table, column))
        if now != was:
            found.append(f"{table}.{column}: {was} became {now or 'nothing'}")
    for table, column in after.columns.keys() - before.columns.keys():
        _, is_nullable, default, is_identity = after.columns[table, column]
        if table in before.tables and not (is_nullable or default or is_identity):
            found.append(f"{table}.{column}: is new, and must be given")
    for table, definition in after.constraints - before.constraints:
        if table in before.tables:
            found.append(f"{table}: is new: {definition}")
    return sorted(found)


def revisions() -> list[str]:
    """Every revision, oldest first."""
    return sorted(path.name[:4] for path in (SCRIPTS / "versions").glob("[0-9]*.py"))


async def upgrade(url: str, revision: str) -> None:
    """Apply the migrations up to this revision."""
    database = Database(Settings(database_url=url))
    try:
        async with database.transaction() as tx:
            await tx.run_sync(_upgrade, revision)
    finally:
        await database.close()


def _upgrade(connection: Connection, revision: str) -> None:
    config = Config()
    config.set_main_option("script_location", str(SCRIPTS))
    config.attributes.update(connection=connection, schema=SCHEMA)
    command.upgrade(config, revision)


async def breaking_migrations(url: str) -> dict[str, list[str]]:
    """Migrate an empty database step by step. Returns what each migration except the first breaks."""
    first, *others = revisions()
    await upgrade(url, first)
    connection = await asyncpg.connect(url)
    try:
        before, found = await read_catalog(connection), {}
        for revision in others:
            await upgrade(url, revision)
            after = await read_catalog(connection)
            if broken := breaks(before, after):
                found[revision] = broken
            before = after
        return found
    finally:
        await connection.close()
