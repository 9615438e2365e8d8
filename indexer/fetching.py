"""A blob into a file of ours, hashed as it comes, in constant memory."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from shared.errors import TornBlob
from shared.storage.interface import Missing, Storage


@dataclass(frozen=True, slots=True)
class Fetched:
    """A blob in a file. digest: SHA-256 of its bytes, 64 hex digits."""

    path: Path
    digest: str
    size_bytes: int


async def fetch(storage: Storage, key: str, path: Path) -> Fetched | None:
    """Read a blob into a file, a torn one as far as it comes; None when there is no blob.

    Raises StorageUnavailable, StorageFailed.
    """
    digest, size_bytes = hashlib.sha256(), 0
    with path.open("wb") as file:
        try:
            async with storage.open(key) as opened:
                if isinstance(opened, Missing):
                    return None
                async for chunk in opened.chunks:
                    digest.update(chunk)
                    size_bytes += file.write(chunk)
        except TornBlob:  # the bytes that came have not the digest of the whole, which callers compare
            pass
    return Fetched(path, digest.hexdigest(), size_bytes)
