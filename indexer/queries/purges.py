"""SQL on what edges have to drop.

A key stays until it has been purged twice after its last change. Whoever takes keys moves their due time on,
so that no other worker takes them meanwhile; if the worker dies, they are due again after that.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.statements import Connection, fetch


@dataclass(frozen=True, slots=True)
class Purge:
    """A key to purge. change: the number of its last change. attempts: with this one, since a success."""

    surrogate_key: str
    change: int
    attempts: int


_WANT = """
    INSERT INTO edge_purges AS known (surrogate_key)
    SELECT surrogate_key FROM unnest(CAST($1 AS text[])) AS wanted (surrogate_key)
    ORDER BY surrogate_key
    ON CONFLICT (surrogate_key)
    DO UPDATE SET change = known.change + 1, round = 1, attempts = 0, due_at = now()
    """
_TAKE = text(
    """
    WITH due AS MATERIALIZED (
        SELECT surrogate_key FROM edge_purges WHERE due_at <= now()
        ORDER BY due_at LIMIT :limit FOR UPDATE SKIP LOCKED
    )
    UPDATE edge_purges p SET attempts = p.attempts + 1, due_at = now() + make_interval(secs => :lease_s)
    FROM due WHERE p.surrogate_key = due.surrogate_key
    RETURNING p.surrogate_key, p.change, p.attempts
    """
)
# A key that changed again since it was taken is due already, and stays so.
_OF_TAKEN = """
    FROM unnest(CAST(:keys AS text[]), CAST(:changes AS bigint[])) AS taken (surrogate_key, change)
    WHERE p.surrogate_key = taken.surrogate_key AND p.change = taken.change
    """
_DONE = text(
    f"""
    WITH twice AS (
        DELETE FROM edge_purges p USING
        unnest(CAST(:keys AS text[]), CAST(:changes AS bigint[])) AS taken (surrogate_key, change)
        WHERE p.surrogate_key = taken.surrogate_key AND p.change = taken.change AND p.round >= 2
    )
    UPDATE edge_purges p SET round = 2, attempts = 0, due_at = now() + make_interval(secs => :again_s)
    {_OF_TAKEN} AND p.round < 2
    RETURNING 1
    """  # noqa: S608 - our own text
)
_FAILED = text(
    f"UPDATE edge_purges p SET due_at = now() + make_interval(secs => :pause_s) {_OF_TAKEN}"  # noqa: S608
)


async def want(tx: Connection, keys: Sequence[str]) -> None:
    """Have keys, each of them once, purged after the transaction is committed (primary key)."""
    await fetch(tx, _WANT, list(keys))


async def take(connection: AsyncConnection, limit: int, lease_s: float) -> list[Purge]:
    """Take keys that are due, the longest due first (edge_purges_due_at_idx)."""
    rows = await connection.execute(_TAKE, {"limit": limit, "lease_s": lease_s})
    return [Purge(**row._mapping) for row in rows]


async def done(connection: AsyncConnection, taken: Sequence[Purge], again_s: float) -> bool:
    """Record that keys were purged. True if some of them are purged once more after again_s (primary key)."""
    return (await connection.execute(_DONE, {**_columns(taken), "again_s": again_s})).first() is not None


async def failed(connection: AsyncConnection, taken: Sequence[Purge], pause_s: float) -> None:
    """Record that keys could not be purged; they are due again after a pause (primary key)."""
    await connection.execute(_FAILED, {**_columns(taken), "pause_s": pause_s})


def _columns(taken: Sequence[Purge]) -> dict[str, list[str] | list[int]]:
    return {
        "keys": [purge.surrogate_key for purge in taken],
        "changes": [purge.change for purge in taken],
    }
