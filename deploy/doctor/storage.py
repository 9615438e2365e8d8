"""Checks object storage with a probe: write, read and copy with conditions, list, delete; and its clock.

The probes are in staging/, which readers cannot reach, under checksums that no upload has. They are deleted
at the end; garbage collection removes those of a doctor that was killed.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from typing import Final

from deploy.doctor.clock import storage_clock
from deploy.doctor.finding import Finding, failed, ok
from shared.blobs import ARCHIVE_TYPE, new_upload_id, staging_key
from shared.causes import cause_of
from shared.errors import RegistryError
from shared.settings import Settings
from shared.storage.interface import Found, Storage
from shared.storage.opening import open_storage
from shared.storage.write_check import WriteCheck

CHECK: Final = "storage"
PROBE_BYTES: Final = 1024
NO_REVISION: Final = '"00000000000000000000000000000000"'


class _Wrong(Exception):
    """The store answered wrongly."""


async def examine_storage(settings: Settings) -> list[Finding]:
    """A finding for the store and, if it works, one for its clock."""
    storage = await open_storage(settings)
    try:
        return await _examine(storage, settings)
    finally:
        await storage.close()


async def _examine(storage: Storage, settings: Settings) -> list[Finding]:
    body = secrets.token_bytes(PROBE_BYTES)
    digest = hashlib.sha256(body).hexdigest()
    probe, copy = (staging_key(digest, new_upload_id()) for _ in range(2))
    began = datetime.now(UTC)
    try:
        with _at("upload"):
            await WriteCheck(storage, settings)()
        found = await _try_every_call(storage, probe, copy, body, digest)
    except _Wrong as error:
        return [failed(CHECK, str(error), mend_of(settings))]
    finally:
        await _delete_what_is_left(storage, probe, copy)
    clock = storage_clock(found.info.modified_at, began, datetime.now(UTC))
    return [ok(CHECK, "write, conditional write, read, copy, conditional copy, list and delete work"), clock]


async def _try_every_call(storage: Storage, probe: str, copy: str, body: bytes, digest: str) -> Found:
    """Return the probe as read back. Raises _Wrong, which names the call that failed."""
    with _at("write"):
        await storage.put(probe, body, content_type=ARCHIVE_TYPE, digest=digest, only_if_absent=True)
    with _at("conditional write"):
        if await storage.put(probe, body, content_type=ARCHIVE_TYPE, digest=digest, only_if_absent=True):
            raise _Wrong("a blob was overwritten, although the write was conditional on its absence")
        if await storage.put(probe, body, content_type=ARCHIVE_TYPE, digest=digest, if_revision=NO_REVISION):
            raise _Wrong("a blob was replaced, although the write named another revision")
    with _at("read"):
        found = await _read(storage, probe, body, digest)
    with _at("copy"):
        if not await storage.copy(probe, copy, only_if_absent=True):
            raise _Wrong("a blob was not copied, although nothing was in its place")
        await _read(storage, copy, body, digest)
    with _at("conditional copy"):
        if await storage.copy(probe, copy, only_if_absent=True):
            raise _Wrong("a blob was overwritten, although the copy was conditional on its absence")
    with _at("list"):
        if probe not in [info.key async for info in storage.list(probe)]:
            raise _Wrong("a blob that exists is not listed")
    with _at("delete"):
        await storage.delete(probe)
        if await storage.head(probe) is not None:
            raise _Wrong("a blob that was deleted is still there")
    return found


@contextmanager
def _at(call: str) -> Iterator[None]:
    """Add the name of the call to a failure."""
    try:
        yield
    except (_Wrong, RegistryError) as error:
        raise _Wrong(f"{call} of a probe: {cause_of(error)}") from None


async def _read(storage: Storage, key: str, body: bytes, digest: str) -> Found:
    found = await storage.get(key)
    if not isinstance(found, Found):
        raise _Wrong("the blob that was just written is missing")
    if (found.body, found.digest) != (body, digest):
        raise _Wrong("the bytes or the digest differ from what was written")
    return found


async def _delete_what_is_left(storage: Storage, *keys: str) -> None:
    """Delete the probes as far as storage permits. Failures are ignored, as the first failure is reported."""
    for key in keys:
        with suppress(RegistryError):
            await storage.delete(key)


def mend_of(settings: Settings) -> str:
    """How to fix storage, by its kind."""
    if settings.stores_files:
        where = f"{settings.data_dir.absolute()} (X07_REGISTRY_DATA_DIR)"
        return f"let this account write in {where}, and free space if the disk is full"
    return (
        "correct X07_REGISTRY_S3_ENDPOINT, _BUCKET, _REGION, _FORCE_PATH_STYLE and the keys; the key needs "
        "GetObject, PutObject, DeleteObject and ListBucket, and the store conditional puts (If-None-Match, "
        "If-Match) and copies (If-None-Match)"
    )
