"""Brings the database to the newest revision, and adopts one that the older server made."""

from __future__ import annotations

import time
from pathlib import Path

import structlog
from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, inspect, text
from sqlalchemy.exc import DBAPIError

from shared.database import Database
from shared.errors import DatabaseFailed, DatabaseUnavailable
from shared.settings import Settings
from shared.tables import metadata

MIGRATION_LOCK = 0x7830375F6D696772
DEPLOYED_REVISION = "0001"
# The tables to which migrations add foreign keys, triggers and indexes.
LOCKED = (
    "users",
    "packages",
    "package_owners",
    "package_versions",
    "package_version_advisories",
    "oauth_states",
)
DEPLOYED = (*LOCKED, "tokens", "audit_events", "web_sessions")
LOCK_DEADLINE_S = 60.0
LOCK_PAUSE_S = 0.05
LOCK_NOT_AVAILABLE = "55P03"

log = structlog.get_logger()


async def migrate(settings: Settings) -> None:
    """Create the schema, adopt its tables if they exist, and apply missing migrations.

    All in one transaction. Concurrent migrations wait for its lock. Raises DatabaseUnavailable,
    DatabaseFailed.
    """
    database = Database(settings, is_patient=True, may_lack_tables=True)
    try:
        async with database.transaction() as tx:
            await tx.execute(text("SET LOCAL lock_timeout = 0"))
            await tx.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": MIGRATION_LOCK})
            await tx.execute(text(f'CREATE SCHEMA IF NOT EXISTS "{settings.database_schema}"'))
            await tx.run_sync(_upgrade, settings.database_schema)
    finally:
        await database.close()


def _upgrade(connection: Connection, schema: str) -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    config.attributes.update(connection=connection, schema=schema)
    if _is_deployed(connection, schema):
        _require_complete(connection, schema)
        _lock_deployed(connection, schema)
        log.info("database_adopted", schema=schema, revision=DEPLOYED_REVISION)
        command.stamp(config, DEPLOYED_REVISION)
    command.upgrade(config, "head")


def _lock_deployed(connection: Connection, schema: str) -> None:
    """Wait until the older server is writing to none of its tables, then lock its writes out.

    The older server's transactions lock these tables in different orders. Waiting for one table while holding
    another could deadlock with them and fail a publish, so nothing is locked while waiting.
    """
    names = ", ".join(f'"{schema}".{table}' for table in LOCKED)
    deadline = time.monotonic() + LOCK_DEADLINE_S
    while True:
        try:
            with connection.begin_nested():
                connection.execute(text(f"LOCK TABLE {names} IN SHARE ROW EXCLUSIVE MODE NOWAIT"))
                return
        except DBAPIError as error:
            if getattr(error.orig, "sqlstate", None) != LOCK_NOT_AVAILABLE:
                raise
            if time.monotonic() > deadline:
                raise DatabaseUnavailable("another server writes to the tables without pausing") from error
        time.sleep(LOCK_PAUSE_S)


def _require_complete(connection: Connection, schema: str) -> None:
    """Raise DatabaseFailed if the older server's last migrations have not been applied to its tables."""
    found = inspect(connection).get_multi_columns(schema=schema)
    there = {f"{table}.{column['name']}" for (_, table), columns in found.items() for column in columns}
    needed = [str(column) for table in DEPLOYED for column in metadata.tables[table].columns]
    if missing := [column for column in needed if column not in there]:
        raise DatabaseFailed(
            f"the tables lack {', '.join(missing)}: start the older server's newest release once, which "
            "adds what is missing, then migrate again"
        )


def _is_deployed(connection: Connection, schema: str) -> bool:
    """True for a database of the older server: its tables, and no history of ours."""
    tables = set(inspect(connection).get_table_names(schema=schema))
    return "package_versions" in tables and "alembic_version" not in tables
