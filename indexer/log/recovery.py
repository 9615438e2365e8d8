"""Recovers the log after database or storage was restored from a backup: each gets what the other has.

The longer of the two histories is right if it begins with the shorter one: it was signed, and somebody may
have seen it. If neither begins with the other, the log has forked, and no program can repair that. A person
must find out which history readers have, and begin a new log under another name (docs/log.md).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import structlog

from indexer.log.entry import parse_entry
from indexer.log.files import bundles_of, lasting_files, replace_tiles
from indexer.log.invalid import LogInvalid
from indexer.log.reader import Head, LogReader, fetch_from
from indexer.log.sequencer import Sequencer
from indexer.log.tiles import TILE_WIDTH, Edge
from indexer.log.tree import EMPTY_ROOT, leaf_hash
from indexer.queries import log as rows
from indexer.queries.log_filling import begin_log
from indexer.queries.log_recovery import end_recovery, give_places_up, take_entries
from indexer.rows import LoggedEntry
from shared.database import Database
from shared.errors import LogDiverged
from shared.storage.interface import Storage

ENTRIES_AT_ONCE: Final = 32 * TILE_WIDTH
BYTES_AT_ONCE: Final = 64 << 20
FORK: Final = "the log has forked: storage and database have different entries below {size} (docs/log.md)"

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Recovered:
    """The result. size: of the log. taken: entries added to the database. written: files put."""

    size: int
    taken: int = 0
    written: int = 0


async def recover(sequencer: Sequencer, mirror: Storage | None = None) -> Recovered:
    """Make database and storage agree about the log again, if they do not.

    mirror: a copy of the tree whose log may be longer than both. Raises LogDiverged for a fork, for a
    checkpoint of another key, and while a worker is letting the log grow.
    """
    async with sequencer.database.transaction() as lock:
        if not await rows.try_log_lock(lock):
            raise LogDiverged("a worker is adding to the log, try again")
        begun = await sequencer.state()
        if mirror is not None:
            await _take_longer(sequencer, mirror)
        head, is_longest = await _take_longer(sequencer, sequencer.storage)
        state = await sequencer.state()
        if state is None:
            return Recovered(0)
        written = 0 if is_longest else await _write_files(sequencer, state, head)
        return Recovered(state.size, state.size - (begun.size if begun else 0), written)


async def _take_longer(sequencer: Sequencer, tree: Storage) -> tuple[Head | None, bool]:
    """Add the entries that only the tree has to the database. Returns the tree's head, and if it had some."""
    state = await sequencer.state()
    reader = LogReader(fetch_from(tree), [sequencer.signer.verifier])
    try:
        head = await reader.head()
        if head is None or (state is not None and head.size <= state.size):
            return head, False
        await _take_entries(sequencer.database, reader, head, state)
    except LogInvalid as error:
        raise LogDiverged(f"the log in storage cannot be used: {error}") from error
    return head, True


async def _take_entries(
    database: Database, reader: LogReader, head: Head, state: rows.LogState | None
) -> None:
    """The tree is ahead: add its entries to the database, after verifying that they were signed."""
    size, root = (0, EMPTY_ROOT) if state is None else (state.size, state.root)
    begun = await _grown(reader, Edge(), size, head.size)
    if begun.root() != root:
        raise LogDiverged(FORK.format(size=size))
    edge = await _grown(reader, begun, head.size, head.size)
    if edge.root() != head.root:
        raise LogDiverged("the entries in the tree are not those that the checkpoint was signed for")
    async with database.transaction() as tx:
        await begin_log(tx, head.checkpoint.origin, 0, EMPTY_ROOT, ())
        await give_places_up(tx, size)
        async for first, entries in reader.entries(size, head.size):
            await take_entries(tx, first, [_logged(entry) for entry in entries])
        await end_recovery(tx, edge.size, edge.root(), edge.levels)
    log.info("log_recovered", size=edge.size, taken=edge.size - size)


async def _grown(reader: LogReader, edge: Edge, end: int, size: int) -> Edge:
    """The edge after the entries in storage up to `end`. size: of the log in storage."""
    async for _, entries in reader.entries(edge.size, end, size):
        edge, _ = edge.grow([leaf_hash(entry) for entry in entries])
    return edge


def _logged(entry: bytes) -> LoggedEntry:
    parsed = parse_entry(entry)
    return LoggedEntry(parsed.name, parsed.version, bytes.fromhex(parsed.digest), entry)


async def _write_files(sequencer: Sequencer, state: rows.LogState, head: Head | None) -> int:
    """Write the files that storage lacks of the database's entries, then the checkpoint. Returns how many."""
    earlier = 0 if head is None else head.size
    edge, written, earlier_root = Edge(), 0, EMPTY_ROOT
    while edge.size < state.size:
        end = min(edge.size + ENTRIES_AT_ONCE, state.size)
        if edge.size < earlier:
            end = min(end, earlier)
        first = edge.size - edge.size % TILE_WIDTH
        async with sequencer.database.reading() as connection:
            entries = await rows.entries_from(connection, first, end - first, BYTES_AT_ONCE)
        new = entries[edge.size - first :]
        if not new:
            raise LogDiverged(f"the database lacks entry {edge.size} of the log, and storage is behind it")
        edge, tiles = edge.grow([leaf_hash(entry) for entry in new])
        if edge.size == earlier:
            earlier_root = edge.root()
        files = lasting_files(bundles_of(first, entries), tiles, edge, state.size)
        written += await replace_tiles(sequencer.storage, files)
    if head is not None and earlier_root != head.root:
        raise LogDiverged(FORK.format(size=earlier))
    if edge.root() != state.root:
        raise LogDiverged("the entries in the database are not those that were signed")
    published = await sequencer.published()
    await sequencer.publish(state.size, state.root, published)
    return written
