"""Copies a log: takes only entries from the source, computes the tiles, and checks the signed root.

Files of the copy are never replaced. The new root is computed from the copy's own tiles and the new entries,
so the copy refuses a source that took back an entry or has another history.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from hashlib import sha256

from indexer.log.files import bundles_of, lasting_files, put_over, remove_partial
from indexer.log.invalid import LogInvalid
from indexer.log.reader import Head, LogReader, fetch_from
from indexer.log.tiles import TILE_WIDTH, Edge
from indexer.log.tree import leaf_hash
from shared.blobs import CHECKPOINT_KEY, CHECKPOINT_TYPE
from shared.storage.interface import Storage


@dataclass(frozen=True, slots=True)
class Held:
    """The state of a copy. head: None for an empty copy. edge: of the tree of this head."""

    head: Head | None
    edge: Edge


async def held_in(target: Storage, source: LogReader) -> Held:
    """The state of a copy of the source's log. A copy with inconsistent files counts as empty."""
    copy = LogReader(fetch_from(target), source.keys, source.origin)
    try:
        head = await copy.head()
        if head is None:
            return Held(None, Edge())
        return Held(head, await copy.edge_at(head.checkpoint))
    except LogInvalid:
        return Held(None, Edge())


async def copy_entries(
    source: LogReader, target: Storage, held: Held, head: Head
) -> AsyncIterator[tuple[int, list[bytes]]]:
    """Write the bundles and tiles of the entries that the copy lacks.

    Yields the new entries bundle by bundle, each time with the index of the first one.

    Raises LogInvalid if they do not lead from the copy's tree to the head. The checkpoint is not written; the
    caller does so with put_checkpoint when it is done with the entries.
    """
    if head.size < held.edge.size:
        raise LogInvalid(f"the log was rolled back, from {held.edge.size} entries to {head.size}")
    edge = held.edge
    async for first, entries in source.entries(edge.size - edge.size % TILE_WIDTH, head.size):
        new = entries[max(edge.size - first, 0) :]
        start = edge.size
        edge, tiles = edge.grow([leaf_hash(entry) for entry in new])
        await put_over(target, lasting_files(bundles_of(first, entries), tiles, edge, head.size))
        yield start, new
    if edge.root() != head.root:
        raise LogInvalid(
            f"the log of {head.size} entries does not begin with the {held.edge.size} entries of the copy"
            if held.edge.size
            else f"the {head.size} entries of the log are not those that its checkpoint was signed for"
        )


async def put_checkpoint(target: Storage, held: Held, head: Head) -> None:
    """Put the checkpoint, so that readers see the new entries, and remove partial tiles that are full now."""
    digest = sha256(head.note).hexdigest()
    await target.put(CHECKPOINT_KEY, head.note, content_type=CHECKPOINT_TYPE, digest=digest)
    await remove_partial(target, held.edge.size, head.size)
