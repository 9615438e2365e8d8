"""Variants decode to the identity body, contain its digest, and are removed if they save nothing."""

from __future__ import annotations

import gzip
import hashlib
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from indexer.encodings import compressed, put_variants, read_chunks, variant_keys
from indexer.fence import Fence, Rendered
from shared.encodings import MIN_COMPRESSED_BYTES, SUFFIXES, Coding
from shared.storage.filesystem import FileSystemStorage
from shared.storage.interface import Found, Storage

KEY = "index/he/ll/hello"
BODY = b'{"schema_version":"x07.index-entry@0.1.0","name":"hello","version":"0.1.0"}\n' * 200


@pytest_asyncio.fixture
async def storage(tmp_path: Path) -> AsyncIterator[FileSystemStorage]:
    """An empty directory."""
    directory = FileSystemStorage(tmp_path / "tree")
    yield directory
    await directory.close()


def decoded(body: bytes, coding: Coding) -> bytes:
    """The body that a client decodes."""
    return (
        gzip.decompress(body)
        if coding == "gzip"
        else zstandard.ZstdDecompressor().decompressobj().decompress(body)
    )


@pytest.mark.parametrize("coding", SUFFIXES)
@given(chunks=st.lists(st.binary(max_size=200), max_size=6))
def test_a_variant_decodes_to_its_body_and_is_the_same_every_time(
    coding: Coding, chunks: list[bytes]
) -> None:
    """It contains no time and no name, so that a repeated job puts the same bytes."""
    body = compressed(chunks, coding)
    assert decoded(body, coding) == b"".join(chunks)
    assert compressed(chunks, coding) == body


async def keys(storage: FileSystemStorage) -> list[str]:
    """All keys in storage."""
    return [info.key async for info in storage.list("")]


async def put_all(storage: Storage, body: bytes | Path, size_bytes: int, generation: int) -> str:
    """Put the variants of a body or of a file. Returns the body's digest."""
    chunks = (lambda: read_chunks(body)) if isinstance(body, Path) else (lambda: (body,))
    digest = hashlib.sha256(b"".join(chunks())).hexdigest()
    fence = Fence(storage, nothing_to_prove)
    await fence.look(variant_keys(KEY))
    file = Rendered(KEY, body, "text/plain", digest)
    await put_variants(fence, file, size_bytes, chunks, generation)
    return digest


async def nothing_to_prove() -> None:
    """A proof for a test without a lock."""


@pytest.mark.parametrize("in_file", [False, True])
async def test_variants_lie_beside_the_blob_and_name_the_body_they_were_made_from(
    storage: FileSystemStorage, tmp_path: Path, in_file: bool
) -> None:
    """The body is in memory or in a file; each variant has a digest of its own."""
    path = tmp_path / "catalog.json"
    path.write_bytes(BODY)
    digest = await put_all(storage, path if in_file else BODY, len(BODY), 7)
    assert await keys(storage) == [f"{KEY}.gz", f"{KEY}.zst"]
    for coding, suffix in SUFFIXES.items():
        found = await storage.get(f"{KEY}{suffix}")
        assert isinstance(found, Found)
        assert decoded(found.body, coding) == BODY
        assert (found.info.identity_digest, found.info.generation) == (digest, 7)
        assert found.digest == hashlib.sha256(found.body).hexdigest()


SMALL = [BODY[: MIN_COMPRESSED_BYTES - 1], os.urandom(5000), b""]


@pytest.mark.parametrize("body", SMALL)
async def test_what_is_small_or_does_not_shrink_gets_no_variants(
    storage: FileSystemStorage, body: bytes
) -> None:
    """Variants would save no bytes."""
    await put_all(storage, body, len(body), 1)
    assert await keys(storage) == []


@pytest.mark.parametrize("body", SMALL)
async def test_variants_that_are_there_are_never_those_of_an_older_body(
    storage: FileSystemStorage, body: bytes
) -> None:
    """Old variants are replaced even where they save no bytes, because plain file servers send them."""
    await put_all(storage, BODY, len(BODY), 1)
    digest = await put_all(storage, body, len(body), 2)
    for coding, suffix in SUFFIXES.items():
        found = await storage.get(f"{KEY}{suffix}")
        assert isinstance(found, Found)
        assert decoded(found.body, coding) == body
        assert found.info.identity_digest == digest
