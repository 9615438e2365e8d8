"""Copies a blob into a local file and hashes the bytes as they arrive, in constant memory."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from shared.errors import TornBlob
from shared.storage.interface import Missing, Storage


@dataclass(frozen=True, slots=True)
class Fetched:
    """A copy of a blob. digest: SHA-256 of its bytes, 64 hex digits. generation: as stored with the blob.

    etag: from a web server; None if it came from storage.
    """

    path: Path
    digest: str
    size_bytes: int
    generation: int
    etag: str | None = None


async def fetch(storage: Storage, key: str, path: Path) -> Fetched | None:
    """Copy a blob into a file. Returns None if there is no blob.

    A blob that is damaged is copied as far as it can be read. Raises StorageUnavailable, StorageFailed.
    """
    digest, size_bytes, generation = hashlib.sha256(), 0, 0
    with path.open("wb") as file:
        try:
            async with storage.open(key) as opened:
                if isinstance(opened, Missing):
                    return None
                generation = opened.info.generation
                async for chunk in opened.chunks:
                    digest.update(chunk)
                    size_bytes += file.write(chunk)
        except TornBlob:  # the copied bytes have another digest than the whole blob; callers compare it
            pass
    return Fetched(path, digest.hexdigest(), size_bytes, generation)
