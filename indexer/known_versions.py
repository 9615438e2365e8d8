"""Refuses to replace an index file that lists versions without a row.

A restored database, or a standby that lagged when it took over, has lost versions that readers have seen.
Nothing is compared if storage has the generation that was published last.
"""

from __future__ import annotations

import msgspec
import structlog

from indexer.entry import split_lines
from indexer.fence import Fence
from indexer.rows import PackageState
from shared.blobs import index_key
from shared.errors import DatabaseBehind, TornBlob
from shared.storage.interface import Found, Storage

log = structlog.get_logger()


class Line(msgspec.Struct, frozen=True):
    """The field of an index line that is compared."""

    version: str
    cksum: str


async def require_known_versions(storage: Storage, fence: Fence, state: PackageState) -> None:
    """Raise DatabaseBehind if the index file that was seen lists a version without a row.

    Prove the lock before: a worker that lost it may have rows older than the file.
    """
    seen = fence.seen(index_key(state.package.name))
    if seen is None or seen.is_removed or _is_as_published(seen.generation, state):
        return
    package = state.package
    known: dict[str, str] = {row.version: row.cksum for row in package.versions}
    known |= {row.version: row.cksum for row in package.removed}
    for line in await _lines(storage, seen.key):
        if known.get(line.version) != line.cksum:
            await fence.prove()
            raise DatabaseBehind(f"{seen.key} lists version {line.version}, of which there is no row")


def _is_as_published(generation: int, state: PackageState) -> bool:
    return generation != 0 and generation == state.published_generation


async def _lines(storage: Storage, key: str) -> list[Line]:
    """The readable lines of an index file. A torn or foreign file proves nothing."""
    try:
        found = await storage.get(key)
        body = found.body if isinstance(found, Found) else b""
        return [msgspec.json.decode(line, type=Line) for line in split_lines(body)]
    except (TornBlob, msgspec.MsgspecError) as error:
        log.warning("index_file_unreadable", key=key, error=type(error).__name__)
        return []
