"""Compares one blob with its expected content."""

from __future__ import annotations

import asyncio
import hashlib
from typing import Final

from indexer.encodings import Chunks, compressed
from indexer.upkeep.differences import Difference, ExpectedFile, Kind
from shared.encodings import MIN_COMPRESSED_BYTES, Coding, variant_key
from shared.errors import TornBlob
from shared.storage.interface import BlobInfo, Missing, Storage

NOT_THERE: Final = "there is no such blob"


async def check_file(storage: Storage, expected: ExpectedFile, *, deep: bool) -> list[Difference]:
    """The differences between a blob with its variants and the expected file.

    deep: read and hash every byte. Otherwise a digest that is stored with the blob is trusted.
    """
    info = await storage.head(expected.key)
    if info is None:
        return [expected.difference(Kind.MISSING, NOT_THERE)]
    found = [] if (wrong := await _wrong_body(storage, expected, info, deep)) is None else [wrong]
    if expected.chunks is not None:
        for coding in expected.codings:
            found += await _check_variant(storage, expected, expected.chunks, coding, deep)
    return found


async def digest_of(storage: Storage, key: str) -> str | None:
    """SHA-256 of the blob's bytes, read in constant memory; None if there is no blob."""
    digest = hashlib.sha256()
    try:
        async with storage.open(key) as opened:
            if isinstance(opened, Missing):
                return None
            async for chunk in opened.chunks:
                digest.update(chunk)
    except TornBlob:
        info = await storage.head(key)  # computes the digest of the bytes that are left
        return None if info is None else info.digest
    return digest.hexdigest()


async def _wrong_body(
    storage: Storage, expected: ExpectedFile, info: BlobInfo, deep: bool
) -> Difference | None:
    is_size_wrong = expected.size_bytes not in (None, info.size_bytes)
    actual = await digest_of(storage, expected.key) if deep else info.digest
    if actual == expected.digest and info.digest == actual and not is_size_wrong:
        return None
    if actual == expected.digest and not is_size_wrong:
        return expected.difference(Kind.WRONG_CHECKSUM, f"the digest stored with it is {info.digest}")
    if expected.is_archive or info.digest == expected.digest:
        got = f"{info.size_bytes} bytes" if actual == expected.digest else f"SHA-256 {actual}"
        return expected.difference(Kind.WRONG_CHECKSUM, f"it has {got}, not {expected.digest}")
    return expected.difference(Kind.STALE, "it differs from what the rows render to")


async def _check_variant(
    storage: Storage, expected: ExpectedFile, chunks: Chunks, coding: Coding, deep: bool
) -> list[Difference]:
    """A missing or wrong variant only costs bandwidth: readers ignore it, and never serve another body's."""
    key, size_bytes = variant_key(expected.key, coding), expected.size_bytes or 0
    info = await storage.head(key)
    if info is None:
        is_wanted = size_bytes >= MIN_COMPRESSED_BYTES and len(await _compressed(chunks, coding)) < size_bytes
        return [expected.difference(Kind.MISSING, NOT_THERE, key)] if is_wanted else []
    if info.identity_digest != expected.digest:
        return [expected.difference(Kind.STALE, "it is a variant of another body", key)]
    if deep and await digest_of(storage, key) != info.digest:
        return [expected.difference(Kind.WRONG_CHECKSUM, f"it is not the body of {info.digest}", key)]
    return []


async def _compressed(chunks: Chunks, coding: Coding) -> bytes:
    return await asyncio.to_thread(lambda: compressed(chunks(), coding))
