"""Object storage: write, conditional write, read, copy, list and delete of a probe; and its clock.

The probes lie in staging/, which no reader's path leads to, under the names of bytes that were never
uploaded. They are deleted at the end; what a killed doctor leaves, garbage collection takes.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from typing import Final

from deploy.doctor.clock import storage_clock
from deploy.doctor.finding import Finding, cause_of, failed, ok
from shared.blobs import ARCHIVE_TYPE, staging_key
from shared.errors import RegistryError
from shared.settings import Settings
from shared.storage import open_storage
from shared.storage.interface import Found, Storage

CHECK: Final = "storage"
PROBE_BYTES: Final = 1024
NO_REVISION: Final = '"00000000000000000000000000000000"'


class _Wrong(Exception):
    """The store answered, but not as it must."""


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
    probe, copy = staging_key(digest), staging_key(hashlib.sha256(digest.encode()).hexdigest())
    began = datetime.now(UTC)
    try:
        found = await _try_every_call(storage, probe, copy, body, digest)
    except _Wrong as error:
        return [failed(CHECK, str(error), mend_of(settings))]
    finally:
        await _delete_what_is_left(storage, probe, copy)
    clock = storage_clock(found.info.modified_at, began, datetime.now(UTC))
    return [ok(CHECK, "write, conditional write, read, copy, list and delete work"), clock]


async def _try_every_call(storage: Storage, probe: str, copy: str, body: bytes, digest: str) -> Found:
    """The probe as it was read. Raises _Wrong, which says at which call."""
    with _at("write"):
        await storage.put(probe, body, content_type=ARCHIVE_TYPE, digest=digest, only_if_absent=True)
    with _at("conditional write"):
        if await storage.put(probe, body, content_type=ARCHIVE_TYPE, digest=digest, only_if_absent=True):
            raise _Wrong("what exists was written again, although it was asked not to")
        if await storage.put(probe, body, content_type=ARCHIVE_TYPE, digest=digest, if_revision=NO_REVISION):
            raise _Wrong("what exists was replaced, although it is not what was to be replaced")
    with _at("read"):
        found = await _read(storage, probe, body, digest)
    with _at("copy"):
        await storage.copy(probe, copy)
        await _read(storage, copy, body, digest)
    with _at("list"):
        if probe not in [info.key async for info in storage.list(probe)]:
            raise _Wrong("what exists is not listed")
    with _at("delete"):
        await storage.delete(probe)
        if await storage.head(probe) is not None:
            raise _Wrong("what was deleted is still there")
    return found


@contextmanager
def _at(call: str) -> Iterator[None]:
    """Says of a failure at which call it was."""
    try:
        yield
    except (_Wrong, RegistryError) as error:
        raise _Wrong(f"{call} of a probe: {cause_of(error)}") from None


async def _read(storage: Storage, key: str, body: bytes, digest: str) -> Found:
    found = await storage.get(key)
    if not isinstance(found, Found):
        raise _Wrong("what was just written is not there")
    if (found.body, found.digest) != (body, digest):
        raise _Wrong("other bytes, or another digest, than were written")
    return found


async def _delete_what_is_left(storage: Storage, *keys: str) -> None:
    """As far as a store in trouble allows; what is told is the trouble that came before."""
    for key in keys:
        with suppress(RegistryError):
            await storage.delete(key)


def mend_of(settings: Settings) -> str:
    """What to look at, by the kind of storage."""
    if settings.stores_files:
        where = f"{settings.data_dir.absolute()} (X07_REGISTRY_DATA_DIR)"
        return f"let this account write in {where}, and make room there if the disk is full"
    return (
        "correct X07_REGISTRY_S3_ENDPOINT, _BUCKET, _REGION, _FORCE_PATH_STYLE and the keys; the key needs "
        "GetObject, PutObject, DeleteObject and ListBucket, and the store conditional puts (If-None-Match, "
        "If-Match)"
    )
