"""Publishes the catalog: one builder at a time, one ordered scan of the lines, constant memory.

worker/catalog_debounce.py decides when to build, so that one build covers many changes.
"""

from __future__ import annotations

import asyncio
import hashlib
import tempfile
import time
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from indexer.catalog import render_catalog
from indexer.encodings import put_variants, read_chunks, variant_keys
from indexer.fence import Fence, Rendered
from indexer.metrics import CATALOG_SECONDS
from indexer.parts import Parts
from indexer.queries import catalog
from shared.blobs import CATALOG_KEY, JSON_TYPE
from shared.database import require_open
from shared.messages import Change
from shared.storage.durable import write_all
from shared.storage.os_errors import mapped_os_errors

CHUNK_BYTES = 1 << 20

log = structlog.get_logger()


async def publish_catalog(parts: Parts, *, anew: bool = False) -> bool:
    """Write catalog.json if a package changed since the last build, or if the file is missing.

    anew: write it in any case. Returns False if another worker is building it: call again, because a change
    may be left. Raises StorageUnavailable, DatabaseUnavailable or DatabaseBehind.
    """
    await parts.high_water.require()
    if not anew and not await _is_wanted(parts):
        return True
    begun = time.perf_counter()
    generation = await catalog.next_generation(parts.database)
    async with parts.database.transaction() as tx:
        if not await catalog.try_catalog_lock(tx):
            return False
        fence = Fence(parts.storage, partial(require_open, tx))
        await fence.look([CATALOG_KEY, *variant_keys(CATALOG_KEY)])
        there = fence.seen(CATALOG_KEY)
        if there is not None and there.generation >= generation:
            return False  # Another worker has taken a later number and put its catalog first.
        changes = await catalog.take_catalog_changes(tx)
        size_bytes = await _put(tx, fence, generation)
    await parts.notifier.announce(Change((CATALOG_KEY,)))
    CATALOG_SECONDS.observe(time.perf_counter() - begun)
    log.info("catalog_published", changes=changes, generation=generation, size_bytes=size_bytes)
    return True


async def _is_wanted(parts: Parts) -> bool:
    is_there = await parts.storage.head(CATALOG_KEY) is not None
    return not is_there or await catalog.is_catalog_dirty(parts.database)


async def _put(tx: AsyncConnection, fence: Fence, generation: int) -> int:
    """Put the catalog of the current rows, its variants first. Returns its size in bytes."""
    with tempfile.TemporaryDirectory(prefix="x07-catalog-") as directory:
        path = Path(directory) / "catalog.json"
        digest = await spool(path, render_catalog(catalog.catalog_lines(tx)))
        size_bytes = path.stat().st_size
        file = Rendered(CATALOG_KEY, path, JSON_TYPE, digest)
        await fence.prove()
        await put_variants(fence, file, size_bytes, lambda: read_chunks(path), generation)
        await fence.put(file, generation)
    return size_bytes


async def spool(path: Path, chunks: AsyncIterator[bytes]) -> str:
    """Write chunks to a file, a megabyte at a time in a thread. Returns the SHA-256 of all, in hex."""
    digest, buffer = hashlib.sha256(), bytearray()

    def drain() -> None:
        digest.update(buffer)
        with mapped_os_errors():
            write_all(file.fileno(), buffer)

    with path.open("wb", buffering=0) as file:
        async for chunk in chunks:
            buffer += chunk
            if len(buffer) >= CHUNK_BYTES:
                await asyncio.to_thread(drain)
                buffer.clear()
        drain()
    return digest.hexdigest()
