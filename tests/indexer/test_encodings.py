"""Variants: they decode to the identity body, belong to it by digest, and go when they are not worth it."""

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

from indexer.encodings import compressed, delete_variants, put_variants_of_body, put_variants_of_file
from shared.encodings import LEAST_BYTES, SUFFIXES, Coding
from shared.storage.filesystem import FileSystemStorage
from shared.storage.interface import Found

KEY = "index/he/ll/hello"
BODY = b'{"schema_version":"x07.index-entry@0.1.0","name":"hello","version":"0.1.0"}\n' * 200


@pytest_asyncio.fixture
async def storage(tmp_path: Path) -> AsyncIterator[FileSystemStorage]:
    """An empty directory."""
    directory = FileSystemStorage(tmp_path / "tree")
    yield directory
    await directory.close()


def decoded(body: bytes, coding: Coding) -> bytes:
    """What a client makes of it."""
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
    """No time and no name in it: a job run twice puts the same bytes."""
    body = compressed(chunks, coding)
    assert decoded(body, coding) == b"".join(chunks)
    assert compressed(chunks, coding) == body


async def keys(storage: FileSystemStorage) -> list[str]:
    """All that is stored."""
    return [info.key async for info in storage.list("")]


@pytest.mark.parametrize("in_file", [False, True])
async def test_variants_lie_beside_the_blob_and_name_the_body_they_were_made_from(
    storage: FileSystemStorage, tmp_path: Path, in_file: bool
) -> None:
    """From memory or from a file, with digests of their own."""
    digest = hashlib.sha256(BODY).hexdigest()
    if in_file:
        path = tmp_path / "catalog.json"
        path.write_bytes(BODY)
        await put_variants_of_file(
            storage, KEY, path, size_bytes=len(BODY), content_type="text/plain", digest=digest
        )
    else:
        await put_variants_of_body(storage, KEY, BODY, content_type="text/plain", digest=digest)
    assert await keys(storage) == [f"{KEY}.gz", f"{KEY}.zst"]
    for coding, suffix in SUFFIXES.items():
        found = await storage.get(f"{KEY}{suffix}")
        assert isinstance(found, Found)
        assert decoded(found.body, coding) == BODY
        assert found.info.identity_digest == digest
        assert found.digest == hashlib.sha256(found.body).hexdigest()
    await delete_variants(storage, KEY)
    await delete_variants(storage, KEY)
    assert await keys(storage) == []


@pytest.mark.parametrize("body", [BODY[: LEAST_BYTES - 1], os.urandom(5000), b""])
async def test_what_is_small_or_does_not_shrink_has_no_variants_any_more(
    storage: FileSystemStorage, body: bytes
) -> None:
    """Those of an older body are removed: a plain file server would still send them."""
    await put_variants_of_body(storage, KEY, BODY, content_type="text/plain", digest="0" * 64)
    await put_variants_of_body(storage, KEY, body, content_type="text/plain", digest="1" * 64)
    assert await keys(storage) == []
