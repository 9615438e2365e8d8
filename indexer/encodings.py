"""Compressed variants of what readers ask for most: index files and the catalog.

Each variant is stored with the digest of the identity body that it was made from. Readers take one
only if that is the body they hold, so the order of puts does not matter to them and nothing mixes.
"""

from __future__ import annotations

import asyncio
import hashlib
import zlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final, Protocol

import zstandard

from shared.encodings import LEAST_BYTES, SUFFIXES, Coding, variant_key
from shared.storage.interface import Storage

GZIP_LEVEL: Final = 6
ZSTD_LEVEL: Final = 9
# zlib's way of asking for a gzip header; it has no name and no time, so the same body gives the same bytes.
GZIP_WINDOW_BITS: Final = 16 + zlib.MAX_WBITS
CHUNK_BYTES: Final = 1 << 20
# Compressing more than this takes milliseconds, which the event loop cannot spare.
IN_THREAD_FROM_BYTES: Final = 64 * 1024

Chunks = Callable[[], Iterable[bytes]]


class Compressor(Protocol):
    """What zlib and zstandard have in common."""

    def compress(self, data: bytes, /) -> bytes:
        """Some compressed bytes, or none yet."""

    def flush(self) -> bytes:
        """The last compressed bytes."""


def compressed(chunks: Iterable[bytes], coding: Coding) -> bytes:
    """A body in one coding, compressed piece by piece; the same pieces give the same bytes."""
    compressor = _compressor(coding)
    return b"".join([*map(compressor.compress, chunks), compressor.flush()])


async def put_variants_of_body(
    storage: Storage, key: str, body: bytes, *, content_type: str, digest: str
) -> None:
    """Put the variants of a blob; what is not worth it is removed. digest: of the identity body."""
    await _put_all(storage, key, len(body), lambda: (body,), content_type, digest)


async def put_variants_of_file(
    storage: Storage, key: str, path: Path, *, size_bytes: int, content_type: str, digest: str
) -> None:
    """As put_variants_of_body, for an identity body that lies in a file and is read in pieces."""
    await _put_all(storage, key, size_bytes, lambda: read_chunks(path), content_type, digest)


async def delete_variants(storage: Storage, key: str) -> None:
    """Remove every variant of a blob; absence is not an error."""
    await asyncio.gather(*(storage.delete(variant_key(key, coding)) for coding in SUFFIXES))


async def _put_all(
    storage: Storage, key: str, size_bytes: int, chunks: Chunks, content_type: str, digest: str
) -> None:
    if size_bytes < LEAST_BYTES:
        await delete_variants(storage, key)
        return
    await asyncio.gather(
        *(_put(storage, key, coding, size_bytes, chunks, content_type, digest) for coding in SUFFIXES)
    )


async def _put(
    storage: Storage,
    key: str,
    coding: Coding,
    size_bytes: int,
    chunks: Chunks,
    content_type: str,
    digest: str,
) -> None:
    """Put one variant, or remove it when it is no smaller than the identity body."""
    if size_bytes >= IN_THREAD_FROM_BYTES:
        body = await asyncio.to_thread(lambda: compressed(chunks(), coding))
    else:
        body = compressed(chunks(), coding)
    if len(body) >= size_bytes:
        await storage.delete(variant_key(key, coding))
        return
    await storage.put(
        variant_key(key, coding),
        body,
        content_type=content_type,
        digest=hashlib.sha256(body).hexdigest(),
        identity_digest=digest,
    )


def _compressor(coding: Coding) -> Compressor:
    match coding:
        case "gzip":
            return zlib.compressobj(GZIP_LEVEL, zlib.DEFLATED, GZIP_WINDOW_BITS)
        case "zstd":
            return zstandard.ZstdCompressor(level=ZSTD_LEVEL, write_checksum=True).compressobj()


def read_chunks(path: Path) -> Iterable[bytes]:
    """A file in pieces."""
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            yield chunk
