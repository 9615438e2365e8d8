"""Collection: staged bytes that no version waits for, and files that killed processes left unfinished.

Why no archive of an acknowledged publish is ever removed. A publish puts its bytes, which renews the
blob's age; then, in the transaction that inserts the version, it takes the shared lock on these bytes,
looks whether the blob is there, inserts, and commits. Here, each removal is a transaction that holds
the same lock alone: it asks the rows, looks at the blob's age again, and deletes. So one comes wholly
before the other. If the publish comes first, its row is seen here and the blob stays. If the removal
comes first, the publish looks afterwards: either somebody has put the bytes again, or it answers 503
and its next try puts them. Age is thus no part of the proof; it only spares publishes that 503.

The worker deletes a staged blob itself once the version is published. It needs no lock: from then on a
publish of the same bytes, which name the same version, is refused.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

import structlog

from indexer import queries_tree
from indexer.publication import Parts
from shared.settings import Settings
from shared.storage.interface import BlobInfo
from shared.storage.leftovers import remove_leftovers
from shared.storage.os_errors import mapped_os_errors

PREFIX: Final = "staging/"
SPOOLED: Final = "upload-"
# Nothing locks an unfinished file: only its age tells that nobody is at work on it. No upload takes this long
# without a byte.
LEAST_UNFINISHED_S: Final = 3600.0

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Collected:
    """One blob that was removed. size_bytes: of its body."""

    key: str
    size_bytes: int


async def collect_staging(parts: Parts, older_than_s: float) -> AsyncIterator[Collected | None]:
    """Remove orphans among staged bytes; None for each that stays. older_than_s: 0 or more.

    May be stopped at any point and started again, and may run more than once at a time.
    """
    async for info in parts.storage.scan(PREFIX):
        is_removed = _age_s(info) >= older_than_s and await _is_collected(parts, info.key, older_than_s)
        yield Collected(info.key, info.size_bytes) if is_removed else None


async def collect_all(parts: Parts) -> None:
    """Remove every orphan and unfinished file that is older than the settings say; for the worker."""
    keep_s = parts.settings.staging_keep_seconds
    async for _ in collect_staging(parts, keep_s):
        pass  # each that is removed is logged
    await remove_unfinished(parts.settings, max(keep_s, LEAST_UNFINISHED_S))


async def _is_collected(parts: Parts, key: str, older_than_s: float) -> bool:
    """Remove one blob if nothing refers to it, under its lock (above)."""
    sha256 = key.removeprefix(PREFIX)
    async with parts.database.transaction() as tx:
        if not await queries_tree.try_staging_lock(tx, sha256):
            return False
        if await queries_tree.staged_among(tx, [sha256]):
            return False
        info = await parts.storage.head(key)
        if info is None or _age_s(info) < older_than_s:
            return False
        await parts.storage.delete(key)
    log.info("staged_bytes_collected", key=key, size_bytes=info.size_bytes)
    return True


async def remove_unfinished(settings: Settings, older_than_s: float) -> int:
    """Remove what killed processes left of uploads and puts on this machine; how many files.

    older_than_s: LEAST_UNFINISHED_S or more, where other processes of this machine may be at work.
    Raises StorageUnavailable or StorageFailed.
    """
    # A store's own folder holds nothing else; the system's folder for temporary files is everybody's.
    prefix = "" if settings.stores_files else SPOOLED

    def remove() -> int:
        with mapped_os_errors():
            return remove_leftovers(settings.spool_dir, older_than_s, prefix)

    return await asyncio.to_thread(remove)


def _age_s(info: BlobInfo) -> float:
    return (datetime.now(UTC) - info.modified_at).total_seconds()
