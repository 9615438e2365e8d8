"""SQL that ends sessions whose process stopped in the middle of a statement.

Postgres ends a transaction that is idle for too long. A session whose process was paused after it had a
statement parsed, and before it had it executed, is not idle: no limit of Postgres 15 and 16 ends it, and it
keeps its locks until the process continues.
"""

from __future__ import annotations

from typing import Final

from shared.postgres_connections import APPLICATION_NAME
from shared.statements import Connection, fetch

_END_PAUSED: Final = """
    SELECT count(pg_terminate_backend(pid)) AS ended FROM pg_stat_activity
    WHERE datname = current_database() AND usename = current_user AND application_name = $1
      AND state = 'active' AND wait_event = 'ClientRead'
      AND state_change < clock_timestamp() - make_interval(secs => $2)
    """


async def end_paused(connection: Connection, after_s: float) -> int:
    """End the registry's sessions that have waited this many seconds for the rest of a statement.

    Returns how many were ended. Sessions of other database users are left alone.
    """
    [row] = await fetch(connection, _END_PAUSED, APPLICATION_NAME, after_s)
    return int(row["ended"])
