"""Checks of clocks.

Sessions expire by the database's clock, and S3 refuses requests if this machine's clock is far off.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Final

from deploy.doctor import queries
from deploy.doctor.finding import Finding, failed, ok
from shared.database import Database
from shared.settings import Settings

MOST_APART: Final = timedelta(seconds=10)
# S3 and some file systems report whole seconds.
GRAIN: Final = timedelta(seconds=1)
MEND: Final = "synchronise the clocks of this machine and of the named one with one time service (NTP)"

Clock = Callable[[], datetime]


def _utc_now() -> datetime:
    return datetime.now(UTC)


async def examine_database_clock(settings: Settings, now: Clock = _utc_now) -> list[Finding]:
    """One finding. now: this machine's clock."""
    database = Database(settings)
    try:
        async with database.transaction() as tx:
            began = now()
            theirs = await queries.now(tx)
            return [_finding("clock of the database", theirs, began, now())]
    finally:
        await database.close()


def storage_clock(modified_at: datetime, began: datetime, ended: datetime) -> Finding:
    """The finding about storage's clock.

    modified_at: storage's time for a blob that this machine put between began and ended.
    """
    return _finding("clock of storage", modified_at, began - GRAIN, ended)


def _finding(check: str, theirs: datetime, began: datetime, ended: datetime) -> Finding:
    apart = max(began - theirs, theirs - ended, timedelta())
    if apart > MOST_APART:
        side = "behind" if theirs < began else "ahead of"
        return failed(check, f"{apart.total_seconds():.0f} s {side} this machine's", MEND)
    return ok(check, f"within {MOST_APART.total_seconds():.0f} s of this machine's")
