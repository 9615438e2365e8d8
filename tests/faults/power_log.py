"""Judges the transparency log after a power cut: no checkpoint that readers saw is ever contradicted."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

from indexer.log.checkpoint import open_checkpoint
from indexer.log.invalid import LogInvalid
from indexer.log.reader import LogReader, fetch_from
from indexer.log.tiles import Edge
from indexer.log.tree import leaf_hash
from indexer.parts import Parts
from shared.blobs import CHECKPOINT_KEY, log_key
from tests.faults.power_disk import Content, Event, Named
from tests.log.logs import SIGNER, index_lines_of, read_log, sequencer_of

KEYS = [SIGNER.verifier]


def checkpoints_in(events: Sequence[Event]) -> list[bytes]:
    """The checkpoints that readers could see until the end of these events, oldest first."""
    return [one.content.body for one in events if isinstance(one, Named) and one.path == CHECKPOINT_KEY]


async def wrong_log(served: Mapping[str, Content]) -> str | None:
    """What a reader finds wrong with the log before anything is mended. served: files that are not torn."""

    async def fetch(path: str) -> bytes | None:
        content = served.get(log_key(path))
        return None if content is None else content.body

    reader = LogReader(fetch, KEYS)
    try:
        head = await reader.head()
        if head is None:
            return None
        edge = Edge()
        async for _, entries in reader.entries(0, head.size):
            edge, tiles = edge.grow([leaf_hash(entry) for entry in entries])
            for tile, body in tiles:
                if (tile.is_full or edge.size == head.size) and await reader.tile(tile) != body:
                    return f"{tile.path} is not of the entries"
        return None if edge.root() == head.root else "the entries do not lead to the signed root"
    except LogInvalid as error:
        return str(error)


async def require_one_history(parts: Parts, names: Sequence[str], seen: Sequence[bytes]) -> None:
    """Let the log grow as a worker does; fails unless it goes on from every checkpoint that readers saw.

    names: of the packages in the index, whose lines must be the last ones in the log.
    """
    await sequencer_of(parts).run()
    log = await read_log(parts.storage)
    reader = LogReader(fetch_from(parts.storage), KEYS)
    for note in dict.fromkeys(seen):
        await reader.require_consistent(open_checkpoint(note, KEYS), log.head)
    logged = [(entry.name, entry.version, entry.digest) for entry in log.entries]
    assert len(set(logged)) == len(logged), "a line was logged twice"
    for release, line in (await index_lines_of(parts.storage, *names)).items():
        assert log.last_digests().get(release) == hashlib.sha256(line).hexdigest(), release
