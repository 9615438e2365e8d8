"""SQL of the log's recovery: adds the entries in storage to the database."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from indexer.rows import LoggedEntry


async def give_places_up(tx: AsyncConnection, size: int) -> None:
    """Make unsigned entries from an index on wait again, as storage may have others in their places."""
    await tx.execute(
        text(
            """
            WITH given_up AS (DELETE FROM log_entries WHERE entry_index >= :size RETURNING *)
            INSERT INTO log_pending (name, version, entry, published_at)
            SELECT name, version, entry, published_at FROM given_up ORDER BY entry_index
            """
        ),
        {"size": size},
    )


_TAKE = text(
    """
    WITH entry AS (
        SELECT * FROM unnest(CAST(:names AS text[]), CAST(:versions AS text[]), CAST(:digests AS bytea[]),
                             CAST(:entries AS bytea[]))
             WITH ORDINALITY AS entry (name, version, digest, entry, place)
    ), waiting AS (
        DELETE FROM log_pending p USING entry e WHERE p.name = e.name AND p.version = e.version
    ), line AS (
        INSERT INTO log_lines (name, version, digest)
        SELECT DISTINCT ON (name, version) name, version, digest FROM entry
        ORDER BY name, version, place DESC
        ON CONFLICT (name, version) DO UPDATE SET digest = EXCLUDED.digest
    )
    INSERT INTO log_entries (entry_index, name, version, entry, published_at)
    SELECT :first + place - 1, name, version, entry, now() FROM entry
    """
)


async def take_entries(tx: AsyncConnection, first: int, entries: Sequence[LoggedEntry]) -> None:
    """Add storage's entries at their places. Waiting lines of the same versions are older and are deleted."""
    columns = {
        "names": [entry.name for entry in entries],
        "versions": [entry.version for entry in entries],
        "digests": [entry.digest for entry in entries],
        "entries": [entry.entry for entry in entries],
    }
    await tx.execute(_TAKE, {**columns, "first": first})


async def end_recovery(tx: AsyncConnection, size: int, root: bytes, levels: Sequence[bytes]) -> None:
    """Record storage's tree head. Lines that still wait are of other versions."""
    await tx.execute(text("SET LOCAL synchronous_commit = on"))
    await tx.execute(
        text(
            """
            UPDATE log_state SET size = :size, root = :root, edge = :edge, previous_size = NULL,
                                 previous_root = NULL, backfilled_at = COALESCE(backfilled_at, now())
            """
        ),
        {"size": size, "root": root, "edge": list(levels)},
    )
