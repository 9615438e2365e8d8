"""The catalog becomes a file: one builder at a time, one ordered scan, flat memory."""

from __future__ import annotations

import asyncio
import hashlib
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path

import structlog

from indexer import queries
from indexer.catalog import render_catalog
from indexer.encodings import put_variants_of_file
from indexer.metrics import CATALOG_SECONDS
from indexer.publication import Parts
from shared.blobs import CATALOG_KEY, JSON_TYPE
from shared.jobs import Change
from shared.storage.durable import write_all
from shared.storage.os_errors import mapped_os_errors
from shared.storage.replacing import replace_blob

CHUNK_BYTES = 1 << 20

log = structlog.get_logger()


async def publish_catalog(parts: Parts, *, anew: bool = False) -> bool:
    """Write catalog.json if a package changed since it was written, or if it is not there yet.

    anew: in any case. False: another worker is at it, and a change may be left for the next call. Raises
    StorageUnavailable or DatabaseUnavailable.
    """
    begun = time.perf_counter()
    async with parts.database.transaction() as tx:
        if not await queries.try_catalog_lock(tx):
            return False
        changes = await queries.take_catalog_changes(tx)
        seen = await parts.storage.head(CATALOG_KEY)
        if not anew and not changes and seen is not None:
            return True
        with tempfile.TemporaryDirectory(prefix="x07-catalog-") as directory:
            path = Path(directory) / "catalog.json"
            digest = await spool(path, render_catalog(queries.catalog_lines(tx)))
            size_bytes = path.stat().st_size
            await put_variants_of_file(
                parts.storage,
                CATALOG_KEY,
                path,
                size_bytes=size_bytes,
                content_type=JSON_TYPE,
                digest=digest,
            )
            await replace_blob(
                parts.storage, CATALOG_KEY, path, seen=seen, content_type=JSON_TYPE, digest=digest
            )
    await parts.notifier.announce(Change((CATALOG_KEY,)))
    CATALOG_SECONDS.observe(time.perf_counter() - begun)
    log.info("catalog_published", changes=changes, size_bytes=size_bytes)
    return True


async def spool(path: Path, chunks: AsyncIterator[bytes]) -> str:
    """Write chunks to a file, a megabyte at a time off the event loop; SHA-256 of it all, hex."""
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
