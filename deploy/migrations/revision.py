"""The database's revision, and whether this program can work with it.

Migrations only expand, so a program works with its own revision and with every newer one.
"""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Final

import structlog

from deploy.errors import StartFailed
from shared.database import Database
from shared.errors import DatabaseUnavailable
from shared.settings import Settings

WAIT_S: Final = 10.0
POLL_S: Final = 0.2

log = structlog.get_logger()


def newest_revision() -> str:
    """The newest revision that this program knows: the four digits at the start of the file's name."""
    return max(path.name[:4] for path in (Path(__file__).parent / "versions").glob("[0-9]*.py"))


async def until_migrated(settings: Settings) -> None:
    """Wait, for a limited time, until the database is migrated. Raises StartFailed.

    If the database does not answer, this returns at once, because a registry starts without one.
    """
    database = Database(settings, may_lack_tables=True)
    begun, is_told = time.monotonic(), False
    try:
        while (stored := await _revision(database)) is None or stored < newest_revision():
            if time.monotonic() > begun + WAIT_S:
                raise StartFailed(
                    f"the database is at revision {stored or 'none'}, "
                    f"this program needs {newest_revision()}; run `x07-registry migrate`"
                )
            if not is_told:
                log.info("waiting_for_migration", stored=stored, needed=newest_revision())
                is_told = True
            await asyncio.sleep(POLL_S)
    except DatabaseUnavailable:
        log.warning("database_unavailable_at_start")
    finally:
        await database.close()


async def _revision(database: Database) -> str | None:
    """The revision of the configured schema; None if it was never migrated."""
    table = f'"{database.schema}".alembic_version'
    async with database.transaction() as tx:
        found = await tx.exec_driver_sql("SELECT to_regclass($1)::text", (table,))
        if found.scalar_one() is None:
            return None
        stored = await tx.exec_driver_sql(f"SELECT max(version_num) FROM {table}")  # noqa: S608 - a setting
        revision: str | None = stored.scalar_one()
    return revision
