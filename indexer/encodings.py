"""Writes compressed variants of index files and the catalog, which readers ask for most.

Each variant is stored with the digest of the identity body that it was made from. A reader serves a variant
only if it holds that body, so the order in which files are put does not matter.
"""

from __future__ import annotations

import asyncio
import hashlib
import zlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final, Protocol

import zstandard

from indexer.fence import Fence, Rendered
from indexer.kept_blocks import KeptBlocks
from shared.encodings import MIN_COMPRESSED_BYTES, SUFFIXES, Coding, variant_key
from shared.storage.interface import Storage

GZIP_LEVEL: Final = 6
# Of a catalog of 10 MB, level 9 takes 0.31 s and gives 1.62 MB; level 3 takes 0.04 s and gives 1.75 MB.
ZSTD_LEVEL: Final = 3
# Asks zlib for a gzip header. The header has no name and no time, so equal bodies give equal bytes.
GZIP_WINDOW_BITS: Final = 16 + zlib.MAX_WBITS
CHUNK_BYTES: Final = 1 << 20
# Compressing a larger body takes milliseconds, so it is done in a thread.
IN_THREAD_FROM_BYTES: Final = 64 * 1024

Chunks = Callable[[], Iterable[bytes]]


class Compressor(Protocol):
    """The interface that the compressors of zlib and zstandard share."""

    def compress(self, data: bytes, /) -> bytes:
        """Compressed bytes; empty while the compressor collects more."""

    def flush(self) -> bytes:
        """The last compressed bytes."""


def compressed(chunks: Iterable[bytes], coding: Coding) -> bytes:
    """A body in one coding, compressed piece by piece. Equal pieces give equal bytes."""
    compressor = _compressor(coding)
    return b"".join([*map(compressor.compress, chunks), compressor.flush()])


def variant_keys(key: str) -> list[str]:
    """The keys of all variants of a file."""
    return [variant_key(key, coding) for coding in SUFFIXES]


async def put_variants(
    fence: Fence,
    file: Rendered,
    size_bytes: int,
    chunks: Chunks,
    generation: int,
    kept: KeptBlocks | None = None,
) -> None:
    """Put the variants of a file that are worth their bytes, and replace those that are there already.

    A variant is never deleted: a delete that arrives late would take a newer one. file: the identity body, of
    size_bytes; chunks: reads it. kept: the blocks of large bodies, whose chunks are then compressed apart.
    """

    def compress(coding: Coding) -> bytes:
        if kept is not None and coding == "gzip" and size_bytes >= IN_THREAD_FROM_BYTES:
            return kept.member(chunks())
        return compressed(chunks(), coding)

    await asyncio.gather(
        *(_put_variant(fence, file, coding, size_bytes, compress, generation) for coding in SUFFIXES)
    )


def small_variants(fence: Fence, file: Rendered, body: bytes) -> list[Rendered] | None:
    """The variants to put of a file with this body; None if compressing them takes milliseconds."""
    return None if len(body) >= IN_THREAD_FROM_BYTES else variants_of(fence, file, body)


def variants_of(fence: Fence, file: Rendered, body: bytes) -> list[Rendered]:
    """The variants to put of a file with this body: those that save bytes, and those that are there."""
    variants = []
    for coding in SUFFIXES:
        key = variant_key(file.key, coding)
        is_there = fence.seen(key) is not None
        if len(body) < MIN_COMPRESSED_BYTES and not is_there:
            continue
        variant = compressed((body,), coding)
        if len(variant) < len(body) or is_there:
            digest = hashlib.sha256(variant).hexdigest()
            variants.append(Rendered(key, variant, file.content_type, digest, file.digest))
    return variants


async def _put_variant(
    fence: Fence,
    file: Rendered,
    coding: Coding,
    size_bytes: int,
    compress: Callable[[Coding], bytes],
    generation: int,
) -> None:
    """Put one variant, if it saves bytes or if there is one."""
    key = variant_key(file.key, coding)
    is_there = fence.seen(key) is not None
    if size_bytes < MIN_COMPRESSED_BYTES and not is_there:
        return
    if size_bytes >= IN_THREAD_FROM_BYTES:
        body = await asyncio.to_thread(compress, coding)
    else:
        body = compress(coding)
    if len(body) < size_bytes or is_there:
        digest = hashlib.sha256(body).hexdigest()
        await fence.put(Rendered(key, body, file.content_type, digest, file.digest), generation)


async def put_variants_of_body(
    storage: Storage, key: str, body: bytes, *, content_type: str, digest: str
) -> None:
    """Put the variants of a blob that never changes. digest: of the identity body."""
    bodies = {coding: compressed((body,), coding) for coding in SUFFIXES}
    await asyncio.gather(
        *(
            storage.put(
                variant_key(key, coding),
                variant,
                content_type=content_type,
                digest=hashlib.sha256(variant).hexdigest(),
                identity_digest=digest,
            )
            for coding, variant in bodies.items()
            if len(variant) < len(body)
        )
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
