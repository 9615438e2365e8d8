"""The guarantees of every store: one suite for both back ends."""

from __future__ import annotations

import asyncio
import os
import tracemalloc
from pathlib import Path
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shared.errors import StorageFailed
from shared.storage.interface import Found, Missing, NotModified, Opened, Storage
from tests.shared.storage.conftest import keys, put, read, sha256

MIB = 1 << 20
ON_ONE_STORE = settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)

segments = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="/\\\0"), min_size=1, max_size=40
)
legal_keys = (
    st.lists(segments, min_size=1, max_size=4)
    .map("/".join)
    .filter(lambda key: ".." not in key and "." not in key.split("/"))
)
evil_keys = (
    st.sampled_from(
        [
            "",
            "/",
            "/a",
            "a/",
            "a//b",
            ".",
            "..",
            "a/.",
            "./a",
            "a/../b",
            "../a",
            "a..b",
            "a\\b",
            "a\0",
            "tmp",
            "tmp/a",
        ]
    )
    | legal_keys.map(lambda key: f"{key}/../../{key}")
    | legal_keys.map(lambda key: f"{key}\udc80")
)


async def test_what_is_put_is_found_with_its_digest(storage: Storage) -> None:
    """The whole blob is returned, with the digest that was stored with it."""
    assert await put(storage, "index/he/ll/hello", b"line\n")
    found = await storage.get("index/he/ll/hello")
    assert isinstance(found, Found)
    assert (found.body, found.digest, found.info.identity_digest) == (b"line\n", sha256(b"line\n"), None)
    assert (found.info.key, found.info.size_bytes) == ("index/he/ll/hello", 5)
    assert found.info.modified_at.utcoffset() is not None
    assert await storage.head("index/he/ll/hello") == found.info


async def test_a_compressed_variant_keeps_the_digest_of_its_identity_body(storage: Storage) -> None:
    """Both digests are stored with the blob, and copied."""
    await put(storage, "a.zst", b"small", identity_digest=sha256(b"large"))
    assert await storage.copy("a.zst", "b.zst")
    for key in ("a.zst", "b.zst"):
        info = await storage.head(key)
        assert info is not None
        assert (info.digest, info.identity_digest) == (sha256(b"small"), sha256(b"large"))


async def test_an_empty_blob_is_a_blob(storage: Storage) -> None:
    """No bytes are not the same as no blob."""
    await put(storage, "empty", b"")
    found = await storage.get("empty")
    assert isinstance(found, Found)
    assert found.body == await read(storage, "empty") == b""


async def test_nothing_is_found_where_nothing_was_put(storage: Storage) -> None:
    """Each read method has its own result for a missing blob."""
    await put(storage, "dl/a/1/download")
    for key in ("b", "dl", "dl/a", "dl/a/1/download/b"):
        assert await storage.get(key) == Missing()
        assert await storage.head(key) is None
        async with storage.open(key) as opened:
            assert opened == Missing()
        assert not await storage.copy(key, "c")
    assert await keys(storage) == ["dl/a/1/download"]


@pytest.mark.parametrize("key", ["x" * 300, "x" * 1100, "y/" * 2100 + "z", "é" * 600])
async def test_a_key_that_is_too_long_is_absent_and_cannot_be_put(storage: Storage, key: str) -> None:
    """A long package name in a URL is a miss, not an error."""
    assert await storage.get(key) == Missing()
    assert await storage.head(key) is None
    await storage.delete(key)
    with pytest.raises(StorageFailed):
        await put(storage, key)


async def test_a_put_replaces_and_changes_the_revision(storage: Storage) -> None:
    """The old revision no longer matches."""
    await put(storage, "a", b"one")
    before = await storage.head("a")
    await put(storage, "a", b"two")
    assert before is not None
    found = await storage.get("a", if_revision=before.revision)
    assert isinstance(found, Found)
    assert found.body == b"two"


async def test_a_blob_that_did_not_change_is_not_sent_again(storage: Storage) -> None:
    """The revisions of head, get and listings all match."""
    await put(storage, "a")
    head, found, listed = await storage.head("a"), await storage.get("a"), [i async for i in storage.list("")]
    assert head is not None
    assert isinstance(found, Found)
    assert head.revision == found.info.revision == listed[0].revision
    assert await storage.get("a", if_revision=head.revision) == NotModified(head.revision)
    assert await storage.get("b", if_revision=head.revision) == Missing()


async def test_only_if_absent_writes_once(storage: Storage) -> None:
    """The second writer is told that the blob exists, and changes nothing."""
    assert await put(storage, "a", b"first", only_if_absent=True)
    assert not await put(storage, "a", b"second", only_if_absent=True)
    assert await read(storage, "a") == b"first"


async def test_of_many_writers_only_if_absent_lets_one_through(storage: Storage) -> None:
    """The stored body is that of the writer that reported success."""
    bodies = [b"%d" % number for number in range(8)]
    outcomes = await asyncio.gather(*(put(storage, "a", body, only_if_absent=True) for body in bodies))
    assert [body for body, wrote in zip(bodies, outcomes, strict=True) if wrote] == [await read(storage, "a")]


async def test_a_put_over_another_revision_changes_nothing(storage: Storage, tmp_path: Path) -> None:
    """A rendered file must not replace a newer one, or one that was deleted meanwhile."""
    await put(storage, "a", b"first")
    seen = await storage.head("a")
    assert seen is not None
    assert await put(storage, "a", b"newer", if_revision=seen.revision)
    assert not await put(storage, "a", b"late", if_revision=seen.revision)
    path = tmp_path / "late"
    path.write_bytes(b"late")
    described = {"content_type": "text/plain", "digest": sha256(b"late")}
    assert not await storage.put_file("a", path, if_revision=seen.revision, **described)
    assert not await storage.put_file("a", path, only_if_absent=True, **described)
    assert await read(storage, "a") == b"newer"
    await storage.delete("a")
    assert not await put(storage, "a", b"late", if_revision=seen.revision)
    assert await storage.head("a") is None
    assert await storage.put_file("a", path, only_if_absent=True, **described)
    assert await read(storage, "a") == b"late"


async def test_parallel_puts_leave_one_whole_blob(storage: Storage) -> None:
    """Digest and body are of the same writer."""
    bodies = [bytes([number]) * 50_000 for number in range(8)]
    await asyncio.gather(*(put(storage, "new/folder/a", body) for body in bodies))
    found = await storage.get("new/folder/a")
    assert isinstance(found, Found)
    assert found.body in bodies
    assert found.digest == sha256(found.body)


@pytest.mark.parametrize(
    ("start", "end"),
    [(0, None), (0, 1), (1, 3), (300_000, None), (0, 10**9), (5, 5), (9, 4), (700_000, None)],
)
async def test_open_streams_exactly_the_bytes_asked_for(
    storage: Storage, start: int, end: int | None
) -> None:
    """Spans end at the end of the blob and may be empty; the metadata is of the whole blob."""
    body = os.urandom(600_000)
    await put(storage, "a", body)
    async with storage.open("a", start=start, end=end) as opened:
        assert isinstance(opened, Opened)
        assert opened.info == await storage.head("a")
        chunks = [chunk async for chunk in opened.chunks]
    assert b"".join(chunks) == body[start:end]
    assert all(0 < len(chunk) <= 256 * 1024 for chunk in chunks)


async def test_a_reader_may_leave_in_the_middle(storage: Storage) -> None:
    """Unread bytes delay no later request."""
    await put(storage, "a", bytes(2 * MIB))
    for _ in range(80):  # more than the connection pool holds
        async with storage.open("a") as opened:
            assert isinstance(opened, Opened)
            await anext(opened.chunks)
    assert len(await read(storage, "a")) == 2 * MIB


async def test_an_open_blob_is_read_to_its_end_although_it_is_replaced(storage: Storage) -> None:
    """Readers see the old blob or the new one, never a mixture."""
    old, new = os.urandom(MIB), os.urandom(MIB)
    await put(storage, "a", old)
    async with storage.open("a") as opened:
        assert isinstance(opened, Opened)
        first = await anext(opened.chunks)
        await put(storage, "a", new)
        rest = [chunk async for chunk in opened.chunks]
    assert b"".join([first, *rest]) == old
    assert await read(storage, "a") == new


async def test_a_file_is_put_as_its_bytes(storage: Storage, tmp_path: Path) -> None:
    """The blob equals the file and has its digest."""
    body = os.urandom(300_000)
    path = tmp_path / "upload"
    path.write_bytes(body)
    await storage.put_file("staging/a", path, content_type="application/octet-stream", digest=sha256(body))
    found = await storage.get("staging/a")
    assert isinstance(found, Found)
    assert (found.body, found.digest) == (body, sha256(body))


async def test_a_file_that_is_not_there_cannot_be_put(storage: Storage, tmp_path: Path) -> None:
    """The error is ours, and nothing is left."""
    with pytest.raises(StorageFailed):
        await storage.put_file("a", tmp_path / "none", content_type="text/plain", digest=sha256(b""))
    assert await keys(storage) == []


async def test_a_large_file_is_put_and_read_in_constant_memory(storage: Storage, tmp_path: Path) -> None:
    """At most a sixteenth of the file is in memory at any time."""
    path = tmp_path / "upload"
    with path.open("wb") as file:
        file.truncate(48 * MIB)
    digest = sha256(bytes(48 * MIB))
    tracemalloc.start()
    try:
        await storage.put_file("a", path, content_type="application/octet-stream", digest=digest)
        async with storage.open("a") as opened:
            assert isinstance(opened, Opened)
            size_bytes = sum([len(chunk) async for chunk in opened.chunks])
        peak_bytes = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert size_bytes == 48 * MIB
    assert peak_bytes < 3 * MIB


async def test_a_copy_outlives_its_source(storage: Storage) -> None:
    """Promotion copies from staging and deletes the source; the version may have a plus."""
    await put(storage, "staging/a", b"archive")
    assert await storage.copy("staging/a", "dl/a/1.0.0+b/download")
    await storage.delete("staging/a")
    found = await storage.get("dl/a/1.0.0+b/download")
    assert isinstance(found, Found)
    assert (found.body, found.digest) == (b"archive", sha256(b"archive"))
    assert await keys(storage) == ["dl/a/1.0.0+b/download"]


async def test_a_copy_replaces_its_target_and_may_be_done_twice(storage: Storage) -> None:
    """A repeated copy, and a copy onto itself, change nothing."""
    await put(storage, "a", b"new")
    await put(storage, "b", b"old")
    assert await storage.copy("a", "b")
    assert await storage.copy("a", "b")
    assert await storage.copy("b", "b")
    await put(storage, "a", b"newer")
    assert await read(storage, "b") == b"new"
    assert await keys(storage) == ["a", "b"]


async def test_deleting_twice_is_not_an_error(storage: Storage) -> None:
    """The same holds for a key that never existed."""
    await put(storage, "a/b")
    for key in ("a/b", "a/b", "c", "a/b/c"):
        await storage.delete(key)
    assert await storage.get("a/b") == Missing()
    assert await keys(storage) == []


async def test_a_store_that_answers_passes_its_check(storage: Storage) -> None:
    """Readiness uses this; the check leaves nothing."""
    await storage.check()
    assert await keys(storage) == []


async def test_the_clock_of_a_store_is_that_of_its_blobs(storage: Storage) -> None:
    """A new blob is at most a second old, by the times that the store reports."""
    await put(storage, "a/b")
    info = await storage.head("a/b")
    assert info is not None
    assert abs((await storage.now() - info.modified_at).total_seconds()) <= 2


@given(key=legal_keys, body=st.binary(max_size=100))
@ON_ONE_STORE
async def test_any_legal_key_round_trips(storage: Storage, key: str, body: bytes) -> None:
    """Every valid key can be put, read, listed and deleted."""
    folder = uuid4().hex  # `a` and `a/b` may both be drawn, but cannot be in one tree
    await put(storage, f"{folder}/{key}", body)
    assert await read(storage, f"{folder}/{key}") == body
    assert await keys(storage, f"{folder}/") == [f"{folder}/{key}"]
    await storage.delete(f"{folder}/{key}")
    assert await keys(storage, f"{folder}/") == []


@given(key=evil_keys)
@ON_ONE_STORE
async def test_any_evil_key_is_refused(storage: Storage, tmp_path: Path, key: str) -> None:
    """No method has any effect for a key that could leave the store."""
    outside = tmp_path / "upload"
    outside.write_bytes(b"body")
    calls = [
        storage.get(key),
        storage.head(key),
        read(storage, key),
        put(storage, key),
        storage.put_file(key, outside, content_type="text/plain", digest=sha256(b"body")),
        storage.copy(key, "a"),
        storage.copy("a", key),
        storage.delete(key),
    ]
    for call in calls:
        with pytest.raises(StorageFailed, match="not a storage key"):
            await call
    assert outside.read_bytes() == b"body"
    assert await keys(storage) == []
