"""Garbage collection: removes staged uploads that no version needs, and files that killed processes left.

An archive of an acknowledged publish is never removed, for this reason. Each upload has its own key. Before
garbage collection deletes an upload, it retires it: one transaction takes the exclusive lock of these bytes,
makes sure that no version needs the upload, and records its id in `collected_uploads`. A publish holds the
same lock, shared, in the transaction that inserts its version. It is refused (503) if its upload was retired,
and its next try has another upload. A DELETE is therefore sent only for a key that no version refers to or
ever will, however late it arrives and whatever process died in between. The age of an upload is not part of
this proof; it only spares publishes that are under way. It is measured by the storage's own clock.

An upload of an older release has its checksum as its key, which a later publish through an older server would
use again. Garbage collection deletes it under the lock. The risk that such a DELETE arrives late ends with
the last write server of the older release.

A worker deletes a staged upload when its version is published. It needs no lock for that, because nothing
refers to the upload any more.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import structlog

from indexer.parts import Parts
from indexer.queries import tree
from shared.blobs import STAGING_PREFIX, parse_staging_key
from shared.settings import Settings
from shared.stop_points import stop_at
from shared.storage.interface import BlobInfo
from shared.storage.leftovers import remove_leftovers
from shared.storage.os_errors import mapped_os_errors

SPOOLED: Final = "upload-"
# Unfinished files are not locked, so only their age shows that no process is writing them. No upload pauses
# for this long.
MIN_UNFINISHED_S: Final = 3600.0

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Collected:
    """One blob that was removed. size_bytes: of its body."""

    key: str
    size_bytes: int


async def collect_staging(parts: Parts, older_than_s: float) -> AsyncIterator[Collected | None]:
    """Remove orphans among staged uploads. Yields None for each blob that stays. older_than_s: 0 or more.

    It may be stopped and started again at any point, and several may run at the same time.
    """
    now = await parts.storage.now()
    async for info in parts.storage.scan(STAGING_PREFIX):
        is_old = age_s(info, now) >= older_than_s
        is_removed = is_old and await _is_collected(parts, info, older_than_s)
        yield Collected(info.key, info.size_bytes) if is_removed else None


async def collect_all(parts: Parts) -> None:
    """Remove every orphan and unfinished file that is older than the setting, for the worker."""
    keep_s = parts.settings.staging_keep_seconds
    async for _ in collect_staging(parts, keep_s):
        pass  # each removal is logged
    await remove_unfinished(parts.settings, max(keep_s, MIN_UNFINISHED_S))


def age_s(info: BlobInfo, now: datetime) -> float:
    """The age of a blob in seconds, 0 or more. now: by the clock of its storage."""
    return max(0.0, (now - info.modified_at).total_seconds())


async def _is_collected(parts: Parts, info: BlobInfo, older_than_s: float) -> bool:
    """Remove one blob if nothing refers to it."""
    sha256, upload_id = parse_staging_key(info.key) or ("", None)
    if upload_id is None:
        is_removed = await _is_older_orphan_removed(parts, info.key, older_than_s)
    elif is_removed := await _is_retired(parts, info.key, sha256, upload_id):
        await parts.storage.delete(info.key)
    if is_removed:
        log.info("staged_bytes_collected", key=info.key, size_bytes=info.size_bytes)
    return is_removed


async def _is_retired(parts: Parts, key: str, sha256: str, upload_id: str) -> bool:
    """Retire an upload. True if no version needs it or ever will; False if one does or may.

    It may if a publish is in progress.
    """
    async with parts.database.transaction() as tx:
        if not await tree.try_staging_lock(tx, sha256) or await tree.is_awaited(tx, key):
            return False
        await tree.retire_upload(tx, upload_id)
    stop_at("after_retire", parts.settings.test_stop_at)
    return True


async def _is_older_orphan_removed(parts: Parts, key: str, older_than_s: float) -> bool:
    """Remove, under its lock, an upload of an older release or another blob (a probe of `doctor`)."""
    sha256 = key.removeprefix(STAGING_PREFIX)
    async with parts.database.transaction() as tx:
        if not await tree.try_staging_lock(tx, sha256) or await tree.is_awaited(tx, key):
            return False
        info = await parts.storage.head(key)
        if info is None or age_s(info, await parts.storage.now()) < older_than_s:
            return False
        await parts.storage.delete(key)
    return True


async def remove_unfinished(settings: Settings, older_than_s: float) -> int:
    """Remove unfinished files that killed processes left on this machine. Returns how many.

    older_than_s: MIN_UNFINISHED_S or more if other processes of this machine may be at work.
    Raises StorageUnavailable or StorageFailed.
    """
    # A store's folder holds nothing else, but the system's folder for temporary files belongs to everybody.
    prefix = "" if settings.stores_files else SPOOLED

    def remove() -> int:
        with mapped_os_errors():
            return remove_leftovers(settings.spool_dir, older_than_s, prefix)

    return await asyncio.to_thread(remove)
