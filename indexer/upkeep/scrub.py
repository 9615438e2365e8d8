"""The scrub: hashes published archives again, slowly, and compares them with the checksums in their rows.

Readers and plain `verify` trust the digest that is stored with an archive. Only the scrub and `verify --deep`
notice bytes that a disk or an intruder changed in place. Archives are taken in pages, in byte order of
packages and versions. The database keeps the position: all workers share one round, and a restarted worker
continues after the last page. If a worker ends within a page, the rest of the page waits for the next round.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

import structlog

from indexer.metrics import SCRUB_ARCHIVES, SCRUB_BYTES
from indexer.parts import Parts
from indexer.queries import scrub as stored
from indexer.queries.scrub import ArchiveRow
from indexer.upkeep.differences import Kind
from shared.blobs import archive_key
from shared.causes import cause_of
from shared.errors import StorageFailed, StorageUnavailable, TornBlob
from shared.storage.interface import Missing

ARCHIVES_PER_PAGE: Final = 16
PIECE_BYTES: Final = 1 << 20
# A small archive counts as this many bytes, because each request costs storage something.
MIN_ARCHIVE_BYTES: Final = 64 * 1024
# A new round begins at most this often, so that a small registry is not read over and over.
ROUND_PAUSE: Final = timedelta(days=1)
# An archive that differed is checked again after this time, so that a repair ends the alert.
FINDING_PAUSE: Final = timedelta(minutes=1)

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Damage:
    """The way in which an archive differs. detail: text for people."""

    kind: Kind
    detail: str


class Scrub:
    """The scrub of one worker process."""

    def __init__(self, parts: Parts, bytes_per_s: int) -> None:
        """bytes_per_s: average rate at which archives are read; 1 or more."""
        self._parts = parts
        self._bytes_per_s = bytes_per_s
        self._paid_at = 0.0

    async def run(self) -> None:
        """Check archives until none is due. Raises StorageUnavailable, StorageFailed, DatabaseUnavailable."""
        await self._parts.storage.check()
        while archives := await self._take():
            for archive in archives:
                await self._check(archive)

    async def _take(self) -> list[ArchiveRow]:
        async with self._parts.database.transaction() as tx:
            findings = await stored.take_findings(tx, ARCHIVES_PER_PAGE, FINDING_PAUSE)
            return findings + await stored.take_next(tx, ARCHIVES_PER_PAGE, ROUND_PAUSE)

    async def _check(self, archive: ArchiveRow) -> None:
        """Compare one archive with its row; again if it differs, because it may have been replaced."""
        damage = await self._damage(archive) and await self._damage(archive)
        SCRUB_ARCHIVES.inc()
        async with self._parts.database.transaction() as tx:
            if damage is None or not await stored.is_published(tx, archive):
                is_news = await stored.forget(tx, archive)
            else:
                is_news = await stored.record(tx, archive, damage.kind)
        if not is_news:
            return
        told = log.bind(package=archive.name, version=archive.version)
        if damage is None:
            told.info("archive_restored")
        else:
            told.error("archive_differs", kind=str(damage.kind), cksum=archive.cksum, detail=damage.detail)

    async def _damage(self, archive: ArchiveRow) -> Damage | None:
        """What is wrong with an archive, or None. Raises storage's error if storage does not work at all."""
        try:
            digest = await self._digest(archive)
        except TornBlob as error:
            return Damage(Kind.WRONG_CHECKSUM, error.message)
        except (StorageFailed, StorageUnavailable) as error:
            await self._parts.storage.check()
            return Damage(Kind.UNREADABLE, cause_of(error))
        if digest is None:
            return Damage(Kind.MISSING, "there is no such blob")
        return None if digest == archive.cksum else Damage(Kind.WRONG_CHECKSUM, f"it has SHA-256 {digest}")

    async def _digest(self, archive: ArchiveRow) -> str | None:
        """SHA-256 of the archive's bytes, read in pieces at the scrub's rate; None if there is none.

        Each piece is a separate request, because the server may cut off a request that pauses.
        """
        key, digest, start, size_bytes = archive_key(archive.name, archive.version), hashlib.sha256(), 0, 1
        while start < size_bytes:
            async with self._parts.storage.open(key, start=start, end=start + PIECE_BYTES) as opened:
                if isinstance(opened, Missing):
                    await self._pay(MIN_ARCHIVE_BYTES)
                    return None
                size_bytes = opened.info.size_bytes
                async for chunk in opened.chunks:
                    digest.update(chunk)
                    SCRUB_BYTES.inc(len(chunk))
            await self._pay(max(min(PIECE_BYTES, size_bytes - start), 0 if start else MIN_ARCHIVE_BYTES))
            start += PIECE_BYTES
        return digest.hexdigest()

    async def _pay(self, size_bytes: int) -> None:
        """Wait until reading these bytes is within the rate."""
        now = time.monotonic()
        self._paid_at = max(self._paid_at, now) + size_bytes / self._bytes_per_s
        await asyncio.sleep(self._paid_at - now)
