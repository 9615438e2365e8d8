"""SQL of the transparency log: lines handed over, their places, the tree head, and lagging packages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from indexer.rows import ChangedLine
from shared.statements import Connection, Row, fetch

LOG_LOCK = 0x7830375F6C6F67  # "x07_log"
LOCK_HELD_S = 1800


@dataclass(frozen=True, slots=True)
class LogState:
    """The last signed tree head.

    size: entries that are signed. levels: of the tree's right edge (indexer/log/tiles.py). previous: size
    and root of the head before, which is still published while a checkpoint is on its way.
    is_backfilled: every line that was there at the log's beginning has been handed over.
    """

    origin: str
    size: int
    root: bytes
    levels: tuple[bytes, ...]
    previous: tuple[int, bytes] | None
    is_backfilled: bool


_TRY_LOCK = """
    SELECT set_config('idle_in_transaction_session_timeout', $1, true),
           pg_try_advisory_xact_lock($2) AS is_locked
"""


async def try_log_lock(tx: Connection) -> bool:
    """Become the only transaction that may grow the log; False if another one is. Never waits.

    The transaction may be idle for a whole turn, which includes the beginning of a new log.
    """
    [row] = await fetch(tx, _TRY_LOCK, f"{LOCK_HELD_S}s", LOG_LOCK)
    return bool(row["is_locked"])


async def log_state(tx: Connection) -> LogState | None:
    """The tree head; None when there is no log yet (primary key)."""
    for row in await fetch(tx, "SELECT * FROM log_state"):
        return _state(row)
    return None


def _state(row: Row) -> LogState:
    has_previous = row["previous_size"] is not None
    return LogState(
        origin=row["origin"],
        size=row["size"],
        root=row["root"],
        levels=tuple(row["edge"]),
        previous=(row["previous_size"], row["previous_root"]) if has_previous else None,
        is_backfilled=row["backfilled_at"] is not None,
    )


@dataclass(frozen=True, slots=True)
class LogWork:
    """What there is to do.

    size: entries that are signed; None before a log has begun. has_lines: lines wait for a place or a
    signature. is_behind: published packages have lines that were not compared with the log.
    """

    size: int | None
    has_lines: bool
    is_behind: bool


# Each part reads one row by an index, whatever the planner expects. EXISTS would drop the order, and walk
# tables: all of the log, twice a second.
_WORK = """
    SELECT (SELECT size FROM log_state WHERE backfilled_at IS NOT NULL) AS size,
           (SELECT true FROM log_pending ORDER BY id LIMIT 1) IS NOT NULL
           OR (SELECT max(entry_index) FROM log_entries) >= (SELECT size FROM log_state) AS has_lines,
           (SELECT true FROM index_state WHERE published_generation > lines_generation
                                           AND generation = published_generation
            ORDER BY package_id LIMIT 1) IS NOT NULL AS is_behind
"""


async def log_work(tx: Connection) -> LogWork:
    """The work that waits; served by the primary keys and index_state_unlogged_idx."""
    [row] = await fetch(tx, _WORK)
    return LogWork(row["size"], bool(row["has_lines"]), row["is_behind"])


_ADVANCE = """
    WITH durable AS (SELECT set_config('synchronous_commit', 'on', true))
    UPDATE log_state SET size = $1, root = $2, edge = $3, previous_size = size, previous_root = root
    FROM durable WHERE size = $4 AND root = $5
    RETURNING size
"""


async def advance(tx: Connection, old: LogState, size: int, root: bytes, levels: Sequence[bytes]) -> bool:
    """Record the tree head before it is signed. False if another process has signed one meanwhile.

    The commit waits for the disk, whatever the server's default, because a signed head must never be lost.
    """
    return bool(await fetch(tx, _ADVANCE, size, root, list(levels), old.size, old.root))


# Common table expressions that hand over the rows of `line` (name, version, digest, entry, place), in the
# order of place. Lines that were handed over before are skipped.
HAND_OVER = """
    changed_lines AS (
        INSERT INTO log_lines (name, version, digest) SELECT name, version, digest FROM line
        ON CONFLICT (name, version) DO UPDATE SET digest = EXCLUDED.digest
        WHERE log_lines.digest <> EXCLUDED.digest
        RETURNING name, version
    ), pending AS (
        INSERT INTO log_pending (name, version, entry)
        SELECT name, version, entry FROM line JOIN changed_lines USING (name, version) ORDER BY place
    )
"""
_HAND_OVER = f"""
    WITH line AS (
        SELECT * FROM unnest(CAST($1 AS text[]), CAST($2 AS text[]), CAST($3 AS bytea[]), CAST($4 AS bytea[]))
             WITH ORDINALITY AS line (name, version, digest, entry, place)
        WHERE $5 OR EXISTS (SELECT FROM log_state WHERE backfilled_at IS NOT NULL)
    ), {HAND_OVER}
    SELECT
"""  # noqa: S608 - no value is in the text


async def hand_over(tx: Connection, lines: Sequence[ChangedLine], *, is_backfill: bool = False) -> None:
    """Hand lines over to the log, in this order. Lines that were handed over before are skipped.

    Before the log's backfill has ended, only the backfill itself hands lines over: it reads every row, and
    packages_behind finds later changes. lines: no version twice. Served by the primary key.
    """
    if lines:
        await fetch(tx, _HAND_OVER, *columns_of(lines), is_backfill)


def columns_of(lines: Sequence[ChangedLine]) -> tuple[list[str], list[str], list[bytes], list[bytes]]:
    """The columns of `line` in HAND_OVER, without place."""
    return (
        [line.name for line in lines],
        [line.version for line in lines],
        [line.digest for line in lines],
        [line.entry for line in lines],
    )


_ASSIGN = """
    WITH durable AS (
        SELECT set_config('synchronous_commit', 'on', true)
    ), placed AS (
        SELECT greatest(CAST($1 AS bigint), (SELECT max(entry_index) + 1 FROM log_entries)) AS end
    ), taken AS (
        DELETE FROM log_pending WHERE id IN (
            SELECT id FROM log_pending ORDER BY id
            LIMIT (SELECT greatest($1 + CAST($2 AS bigint) - placed.end, 0) FROM placed, durable))
        RETURNING id, name, version, entry, published_at
    )
    INSERT INTO log_entries (entry_index, name, version, entry, published_at)
    SELECT placed.end + row_number() OVER (ORDER BY id) - 1, name, version, entry, published_at
    FROM taken, placed
"""


async def assign(tx: Connection, size: int, count: int) -> None:
    """Give lines that wait their places, so that up to count lines have places behind the signed tree.

    size: of the tree that was signed last. The commit waits for the disk: a tile that is written later
    must never hold another entry at the same place.
    """
    await fetch(tx, _ASSIGN, size, count)


_ENTRIES = """
    SELECT entry FROM (
        SELECT entry_index, entry, sum(length(entry)) OVER (ORDER BY entry_index) - length(entry) AS before
        FROM log_entries WHERE entry_index >= CAST($1 AS bigint) AND entry_index < $1 + CAST($2 AS bigint)
    ) entries
    WHERE before < CAST($3 AS bigint) ORDER BY entry_index
"""


async def entries_from(tx: Connection, first: int, count: int, size_bytes: int) -> list[bytes]:
    """Up to count entries from an index on, fewer once they have size_bytes together (primary key)."""
    return [row["entry"] for row in await fetch(tx, _ENTRIES, first, count, size_bytes)]


async def last_entry_of(tx: AsyncConnection, name: str, version: str) -> int | None:
    """The index of a version's last placed entry, or None (log_entries_line_idx)."""
    result = await tx.execute(
        text("SELECT max(entry_index) FROM log_entries WHERE name = :name AND version = :version"),
        {"name": name, "version": version},
    )
    index: Any = result.scalar_one()
    return None if index is None else int(index)


# More lines than a turn gives places before it signs them.
MOST_PLACED: Final = 10_000


@dataclass(frozen=True, slots=True)
class LogBacklog:
    """The log's backlog. size: number of signed entries. waiting: lines that are not; their greatest age."""

    size: int
    waiting: int
    waiting_s: float


_BACKLOG = text(
    """
    WITH unsigned AS (
        (SELECT published_at FROM log_entries WHERE entry_index >= (SELECT size FROM log_state)
         ORDER BY entry_index LIMIT :most)
        UNION ALL SELECT published_at FROM log_pending
    )
    SELECT COALESCE((SELECT size FROM log_state), 0) AS size,
           (SELECT count(*) FROM unsigned) AS waiting,
           COALESCE((SELECT EXTRACT(EPOCH FROM now() - min(published_at)) FROM unsigned), 0)::float8
               AS waiting_s
    """
)


async def log_backlog(tx: AsyncConnection) -> LogBacklog:
    """The backlog; reads what waits (log_entries_pkey), but at most MOST_PLACED of the placed entries."""
    row = (await tx.execute(_BACKLOG, {"most": MOST_PLACED})).one()
    return LogBacklog(row.size, row.waiting, row.waiting_s)
