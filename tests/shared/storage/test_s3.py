"""The S3 store: its objects, objects of other software, and its requests."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

import pytest

from shared.errors import StorageFailed
from shared.settings import Settings
from shared.storage.interface import Found, Missing, Opened
from shared.storage.s3 import S3Storage
from shared.storage.s3_client import Patience, new_client
from tests.shared.storage.conftest import keys, put, read, sha256


async def described(settings: Settings, key: str) -> dict[str, Any]:
    """The metadata of an object, read without our store."""
    async with new_client(settings, Patience()) as client:
        return dict(
            await client.head_object(Bucket=str(settings.s3_bucket), Key=f"{settings.s3_prefix}{key}")
        )


async def put_by_hand(settings: Settings, key: str, body: bytes, **more: Any) -> None:
    """Put an object like other software, without our metadata."""
    async with new_client(settings, Patience()) as client:
        where = {"Bucket": settings.s3_bucket, "Key": f"{settings.s3_prefix}{key}"}
        await client.put_object(**where, Body=body, **more)


async def test_objects_carry_their_digest_and_content_type(
    bucket_storage: S3Storage, bucket_settings: Settings
) -> None:
    """The bucket works as a registry behind a CDN; a copy keeps both."""
    await put(bucket_storage, "a", b"body", identity_digest=sha256(b"identity"))
    await bucket_storage.copy("a", "b")
    for key in ("a", "b"):
        answer = await described(bucket_settings, key)
        assert answer["ContentType"] == "text/plain"
        assert answer["Metadata"] == {"sha256": sha256(b"body"), "identity": sha256(b"identity")}


async def test_an_upload_does_not_tell_its_temporary_name(
    bucket_storage: S3Storage, bucket_settings: Settings, tmp_path: Path
) -> None:
    """The HTTP client would send it as Content-Disposition, and browsers would use it as a file name."""
    path = tmp_path / "upload-secret"
    path.write_bytes(b"body")
    await bucket_storage.put_file("a", path, content_type="application/octet-stream", digest=sha256(b"body"))
    answer = await described(bucket_settings, "a")
    assert "ContentDisposition" not in answer
    assert "upload-secret" not in str(answer)
    assert path.exists()


async def test_a_body_that_is_not_what_its_digest_says_is_refused(bucket_storage: S3Storage) -> None:
    """The server compares, so a damaged transfer stores nothing."""
    with pytest.raises(StorageFailed):
        await bucket_storage.put("a", b"body", content_type="text/plain", digest=sha256(b"other"))
    assert await bucket_storage.get("a") == Missing()


async def test_of_many_writers_over_one_revision_one_is_let_through(bucket_storage: S3Storage) -> None:
    """The server compares and writes in one step, even if a dead worker's put arrives at the same time."""
    await put(bucket_storage, "a", b"first")
    seen = await bucket_storage.head("a")
    assert seen is not None
    bodies = [b"%d" % number for number in range(8)]
    outcomes = await asyncio.gather(
        *(put(bucket_storage, "a", body, if_revision=seen.revision) for body in bodies)
    )
    assert [body for body, wrote in zip(bodies, outcomes, strict=True) if wrote] == [
        await read(bucket_storage, "a")
    ]


async def test_objects_from_elsewhere_serve_with_computed_digests(
    bucket_storage: S3Storage, bucket_settings: Settings
) -> None:
    """A bucket adopted from the old server works unchanged, including ranges."""
    body = os.urandom(600_000)
    await put_by_hand(bucket_settings, "dl/a/download", body)
    async with bucket_storage.open("dl/a/download", start=5, end=400_000) as opened:
        assert isinstance(opened, Opened)
        assert b"".join([chunk async for chunk in opened.chunks]) == body[5:400_000]
    found, head = await bucket_storage.get("dl/a/download"), await bucket_storage.head("dl/a/download")
    assert isinstance(found, Found)
    assert found.digest == sha256(body)
    assert head == found.info == opened.info


async def test_a_computed_digest_follows_when_the_object_is_replaced(
    bucket_storage: S3Storage, bucket_settings: Settings
) -> None:
    """It is remembered for one ETag only."""
    for body in (b"one", b"two"):
        await put_by_hand(bucket_settings, "a", body)
        info = await bucket_storage.head("a")
        assert info is not None
        assert info.digest == sha256(body)


async def test_foreign_metadata_is_not_taken_for_a_digest(
    bucket_storage: S3Storage, bucket_settings: Settings
) -> None:
    """Other tools store a base64 checksum under the same name."""
    await put_by_hand(bucket_settings, "a", b"body", Metadata={"sha256": "I0TaHPbyb4tNNAvlbwi6+w=="})
    info = await bucket_storage.head("a")
    assert info is not None
    assert info.digest == sha256(b"body")


async def test_a_prefix_keeps_registries_apart(bucket_storage: S3Storage, bucket_settings: Settings) -> None:
    """Two registries can share a bucket without seeing each other's objects."""
    await put(bucket_storage, "a")
    other = await S3Storage.connect(bucket_settings.model_copy(update={"s3_prefix": "storage-other/"}))
    try:
        assert await other.get("a") == Missing()
        await put(other, "b")
        assert await keys(other) == ["b"]
        assert await keys(bucket_storage) == ["a"]
    finally:
        await other.close()


async def test_what_is_no_key_is_not_listed(bucket_storage: S3Storage, bucket_settings: Settings) -> None:
    """Consoles create folder markers; every listed key can be read."""
    await put_by_hand(bucket_settings, "folder/", b"")
    await put_by_hand(bucket_settings, "tmp/x", b"")
    await put(bucket_storage, "folder/a")
    assert await keys(bucket_storage) == ["folder/a"]


async def test_a_missing_bucket_is_a_fault_not_an_empty_registry(bucket_settings: Settings) -> None:
    """A misspelt name must not give 404 to every reader."""
    storage = await S3Storage.connect(bucket_settings.model_copy(update={"s3_bucket": "no-such-bucket"}))
    try:
        for call in (storage.get("a"), read(storage, "a"), keys(storage), storage.check()):
            with pytest.raises(StorageFailed):
                await call
    finally:
        await storage.close()


async def test_wrong_keys_are_a_fault(bucket_settings: Settings) -> None:
    """A retry does not help after a 403."""
    storage = await S3Storage.connect(bucket_settings.model_copy(update={"s3_access_key_id": "stranger"}))
    try:
        for call in (storage.get("a"), storage.head("a"), put(storage, "a"), storage.check()):
            with pytest.raises(StorageFailed):
                await call
    finally:
        await storage.close()
