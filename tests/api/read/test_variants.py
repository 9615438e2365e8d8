"""Compressed variants: looked up once, kept with their blob, never mixed with another body."""

from __future__ import annotations

import asyncio

from api.read.freshness import FreshBlobs, Served
from api.read.representation import Representation
from shared.encodings import MIN_COMPRESSED_BYTES, SUFFIXES, Coding
from shared.errors import StorageUnavailable
from shared.messages import Change
from tests.api.read.faulty_storage import FaultyStorage, fresh_blobs, put

KEY = "index/he/ll/hello"
OLD, NEW = b"old line\n" * 600, b"new line\n" * 700


async def put_variants(storage: FaultyStorage, body: bytes) -> None:
    """Put stand-ins for compressed bodies, with the digest of the identity body."""
    for coding, suffix in SUFFIXES.items():
        await put(storage.storage, KEY + suffix, coding.encode() + body[:3], identity=body)


async def chosen(blobs: FreshBlobs, *codings: Coding) -> Representation:
    """The representation that a reader who accepts these codings gets."""
    served = await blobs.get(KEY)
    assert isinstance(served, Served)
    return await blobs.variants.chosen(served.blob, codings)


async def test_each_coding_has_a_body_and_a_validator_of_its_own(storage: FaultyStorage) -> None:
    """Codings are tried in the requested order; without any, the answer is identity."""
    await put_variants(storage, OLD)
    await put(storage.storage, KEY, OLD)
    blobs = fresh_blobs(storage)
    found = [await chosen(blobs, *codings) for codings in ((), ("gzip",), ("zstd", "gzip"))]
    assert [one.body for one in found] == [OLD, b"gzipold", b"zstdold"]
    assert len({one.etag for one in found}) == 3


async def test_a_variant_is_looked_for_once(storage: FaultyStorage) -> None:
    """A hundred concurrent readers cause one look-up, and later readers none, whether it exists or not."""
    await put(storage.storage, KEY, OLD)
    await put(storage.storage, f"{KEY}.gz", b"gzipold", identity=OLD)
    blobs = fresh_blobs(storage)
    found = await asyncio.gather(*(chosen(blobs, "zstd", "gzip") for _ in range(100)))
    assert {one.body for one in found} == {b"gzipold"}
    await chosen(blobs, "zstd", "gzip")
    assert storage.calls["get"] == 3


async def test_small_bodies_are_not_looked_for(storage: FaultyStorage) -> None:
    """The worker makes no variants of small bodies."""
    await put(storage.storage, KEY, OLD[: MIN_COMPRESSED_BYTES - 1])
    blobs = fresh_blobs(storage)
    await chosen(blobs, "zstd", "gzip")
    assert storage.calls["get"] == 1


async def test_a_variant_of_another_body_is_never_served(storage: FaultyStorage) -> None:
    """This holds whichever of the two was put first; after the message the right one is found."""
    await put_variants(storage, OLD)
    await put(storage.storage, KEY, NEW)
    blobs = fresh_blobs(storage)
    assert (await chosen(blobs, "gzip")).body == NEW
    await put_variants(storage, NEW)
    blobs.apply(Change((KEY,)))
    assert (await chosen(blobs, "gzip")).body == b"gzipnew"
    await put_variants(storage, b"third" + NEW)
    assert (await chosen(blobs, "gzip")).body == b"gzipnew"
    assert (await chosen(blobs, "zstd")).body == NEW


async def test_a_variant_without_a_digest_of_its_identity_is_not_trusted(storage: FaultyStorage) -> None:
    """It may be somebody's own backup beside the file."""
    await put(storage.storage, KEY, OLD)
    await put(storage.storage, f"{KEY}.gz", b"what is this")
    assert (await chosen(fresh_blobs(storage), "gzip")).body == OLD


async def test_variants_are_confirmed_with_their_identity_body(storage: FaultyStorage) -> None:
    """After the time-to-live, one request confirms all three bodies; unchanged variants are kept."""
    await put_variants(storage, OLD)
    await put(storage.storage, KEY, OLD)
    blobs = fresh_blobs(storage)
    await chosen(blobs, "gzip")
    await chosen(blobs, "zstd")
    assert storage.calls["get"] == 3
    blobs.suspect_all()
    await chosen(blobs, "gzip")
    await put(storage.storage, KEY, OLD)
    blobs.suspect_all()
    await chosen(blobs, "zstd")
    assert storage.calls["get"] == 5


async def test_identity_is_served_while_variants_cannot_be_loaded(storage: FaultyStorage) -> None:
    """The variant is served again once storage is back."""
    await put_variants(storage, OLD)
    await put(storage.storage, KEY, OLD)
    blobs = fresh_blobs(storage)
    await chosen(blobs)
    storage.fault = StorageUnavailable
    assert (await chosen(blobs, "gzip")).body == OLD
    storage.fault = None
    assert (await chosen(blobs, "gzip")).body == b"gzipold"


async def test_head_of_a_variant_reads_no_body(storage: FaultyStorage) -> None:
    """Two HEAD requests to storage give all headers of a GET."""
    await put_variants(storage, OLD)
    await put(storage.storage, KEY, OLD)
    blobs = fresh_blobs(storage)
    served = await blobs.describe(KEY)
    assert isinstance(served, Served)
    described = await blobs.variants.chosen(served.blob, ("gzip",))
    assert (described.size_bytes, described.body) == (7, None)
    assert described.etag == (await chosen(blobs, "gzip")).etag
    assert storage.calls["head"] == 2
