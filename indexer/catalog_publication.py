"""Publishes the catalog: one builder at a time, from sections of which only those with changes are made anew.

worker/catalog_debounce.py decides when to build, so that one build covers many changes.
"""

from __future__ import annotations

import asyncio
import hashlib
import tempfile
import time
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from indexer.catalog import HEAD, TAIL
from indexer.catalog_sections import KeptCatalog, Piece, Section, piece_of
from indexer.fence import Fence, Rendered
from indexer.gzip_member import HEADER, Trailer
from indexer.metrics import CATALOG_SECONDS
from indexer.parts import Parts
from indexer.purging.wanted import want_purge
from indexer.queries import catalog
from shared.blobs import CATALOG_KEY, JSON_TYPE
from shared.database import require_open
from shared.encodings import MIN_COMPRESSED_BYTES, variant_key
from shared.messages import Change
from shared.storage.os_errors import mapped_os_errors

GZIP_KEY: Final = variant_key(CATALOG_KEY, "gzip")
# Older releases put it. zstd has no blocks that can be joined (docs/decisions/0045).
ZSTD_KEY: Final = variant_key(CATALOG_KEY, "zstd")
CHUNK_BYTES = 1 << 20

log = structlog.get_logger()


async def publish_catalog(parts: Parts, kept: KeptCatalog | None = None, *, anew: bool = False) -> bool:
    """Write catalog.json if a package changed since the last build, or if the file is missing.

    kept: the sections of this process's last build. anew: write it in any case, from rows alone. Returns
    False if another worker is building it: call again, because a change may be left. Raises
    StorageUnavailable, DatabaseUnavailable or DatabaseBehind.
    """
    await parts.high_water.require()
    if not anew and not await _is_wanted(parts):
        return True
    return await _build(parts, kept or KeptCatalog(), anew=anew)


async def _is_wanted(parts: Parts) -> bool:
    is_there = await parts.storage.head(CATALOG_KEY) is not None
    return not is_there or await catalog.is_catalog_dirty(parts.database)


async def _build(parts: Parts, kept: KeptCatalog, *, anew: bool) -> bool:
    begun = time.perf_counter()
    generation = await catalog.next_generation(parts.database)
    async with parts.database.transaction() as tx:
        if not await catalog.try_catalog_lock(tx):
            return False
        fence = Fence(parts.storage, partial(require_open, tx))
        await fence.look([CATALOG_KEY, GZIP_KEY, ZSTD_KEY])
        there = fence.seen(CATALOG_KEY)
        if there is not None and there.generation >= generation:
            return False  # Another worker has taken a later number and put its catalog first.
        is_kept = not anew and kept.is_in_storage(there)
        sections = await _sections(tx, kept, is_kept=is_kept)
        joined = await _put(parts, kept, sections, fence, generation)
        await want_purge(tx, parts.settings, [CATALOG_KEY])
    kept.adopt(sections, generation, joined.digest)
    await parts.notifier.announce(Change((CATALOG_KEY,)))
    CATALOG_SECONDS.observe(time.perf_counter() - begun)
    log.info("catalog_published", is_kept=is_kept, generation=generation, size_bytes=joined.size_bytes)
    return True


async def _sections(tx: AsyncConnection, kept: KeptCatalog, *, is_kept: bool) -> list[Section]:
    """The sections of the committed rows. is_kept: those kept lack only the changes that wait."""
    if not is_kept:
        await catalog.take_catalog_changes(tx)
        return await kept.rebuilt(tx)
    names = await catalog.take_changed_names(tx)
    known = [name for name in names if name is not None]
    return await (kept.renewed(tx, known) if len(known) == len(names) else kept.rebuilt(tx))


@dataclass(frozen=True, slots=True)
class Joined:
    """The digests and sizes of the joined catalog and of its variant."""

    digest: str
    size_bytes: int
    gzip_digest: str
    gzip_bytes: int

    @property
    def is_worth_packing(self) -> bool:
        """True if the variant saves bytes (encodings.py)."""
        return self.size_bytes >= MIN_COMPRESSED_BYTES and self.gzip_bytes < self.size_bytes


async def _put(
    parts: Parts, kept: KeptCatalog, sections: list[Section], fence: Fence, generation: int
) -> Joined:
    """Put the catalog of these sections, its variant first."""
    with tempfile.TemporaryDirectory(prefix="x07-catalog-") as directory:
        identity, member = Path(directory) / "catalog.json", Path(directory) / "catalog.json.gz"
        joined = await asyncio.to_thread(join, _pieces(kept, sections), identity, member)
        await fence.prove()
        if joined.is_worth_packing or fence.seen(GZIP_KEY) is not None:
            packed = Rendered(GZIP_KEY, member, JSON_TYPE, joined.gzip_digest, joined.digest)
            await fence.put(packed, generation)
        await fence.put(Rendered(CATALOG_KEY, identity, JSON_TYPE, joined.digest), generation)
    if (old := fence.seen(ZSTD_KEY)) is not None:
        # On the condition that it is the one that was seen, a late delete takes no newer one.
        await parts.storage.delete(ZSTD_KEY, if_revision=old.revision)
    return joined


def _pieces(kept: KeptCatalog, sections: list[Section]) -> Iterable[Piece]:
    """The whole catalog (contract, 3.4)."""
    separator, comma = piece_of(HEAD), piece_of(b",")
    for piece in kept.pieces(sections):
        yield separator
        yield piece
        separator = comma
    if not sections:
        yield separator
    yield piece_of(TAIL)


def join(pieces: Iterable[Piece], identity: Path, member: Path) -> Joined:
    """Write the pieces to one file, and one gzip member of them to another."""
    digest, gzip_digest, trailer = hashlib.sha256(), hashlib.sha256(HEADER), Trailer()
    with (
        mapped_os_errors(),
        identity.open("wb", buffering=CHUNK_BYTES) as plain,
        member.open("wb", buffering=CHUNK_BYTES) as packed,
    ):
        packed.write(HEADER)
        for piece in pieces:
            digest.update(piece.body)
            plain.write(piece.body)
            gzip_digest.update(piece.blocks)
            packed.write(piece.blocks)
            trailer.add(piece.checksum)
        gzip_digest.update(trailer.end())
        packed.write(trailer.end())
        gzip_bytes = packed.tell()
    return Joined(digest.hexdigest(), trailer.size_bytes, gzip_digest.hexdigest(), gzip_bytes)
