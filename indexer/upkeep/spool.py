"""Writes chunks to a local file and hashes them as they come, in constant memory."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

from shared.storage.durable import write_all
from shared.storage.os_errors import mapped_os_errors

CHUNK_BYTES: Final = 1 << 20


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
