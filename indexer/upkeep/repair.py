"""Repairs differences between rows and storage where the rows prove what is right, and reports the others.

Rendered files are rendered again by publication. An archive is put again only from bytes whose SHA-256 is the
version's checksum. An archive without a row is left alone, and so is a wrong one without a good copy.
Rendered files that no row requires are removed. Rows are never changed. A repair may be interrupted at any
point and started again.
"""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import structlog

from indexer.catalog_publication import publish_catalog
from indexer.config_publication import publish_config
from indexer.package_puts import staged_copies
from indexer.parts import Parts
from indexer.publication import publish_package
from indexer.queries import packages, tree
from indexer.upkeep.blob_check import digest_of
from indexer.upkeep.differences import Difference, Kind
from indexer.upkeep.fetch import fetch
from indexer.upkeep.tree_keys import place_of
from indexer.upkeep.verification import Verification
from shared.blobs import ARCHIVE_TYPE, STAGING_PREFIX, archive_key
from shared.errors import RegistryError
from shared.messages import Change
from shared.names import PackageName
from shared.storage.interface import BlobInfo, Storage
from shared.storage.replacing import put_over
from shared.versions import VersionText

# Differences that publishing the package again corrects.
PUBLISHED_AGAIN: Final = frozenset({Kind.MISSING, Kind.WRONG_CHECKSUM, Kind.STALE, Kind.UNPUBLISHED})

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Outcome:
    """The outcome of one difference. action: what was done, or why nothing could be done."""

    difference: Difference
    is_mended: bool
    action: str


@dataclass(frozen=True, slots=True)
class Repair:
    """One walk that repairs. copies: another tree that may have archives: a mirror or an old backup."""

    parts: Parts
    verification: Verification
    copies: Storage | None = None

    async def run(self, after: str = "") -> AsyncIterator[Outcome]:
        """Repair; yields the outcome of every difference. after: check packages after this name.

        Raises StorageUnavailable, StorageFailed, DatabaseUnavailable.
        """
        if found := await self.verification.of_config():
            await publish_config(self.parts, anew=True)
            for difference in found:
                yield Outcome(difference, True, "written again")
        of_catalog = await self.verification.of_catalog()  # first, because repaired packages change it
        async for name, found in self.verification.of_packages(after):
            for outcome in await self._mend_package(name, found):
                yield outcome
        async for difference in self.verification.extras():
            yield await self._mend_extra(difference)
        async for difference in self.verification.orphans():
            yield Outcome(difference, False, "`gc` removes it")
        is_built = await publish_catalog(self.parts, anew=bool(of_catalog))
        for difference in of_catalog:
            yield Outcome(difference, True, "written again" if is_built else "a worker is writing it")

    async def _mend_package(self, name: PackageName, found: Sequence[Difference]) -> list[Outcome]:
        """Restore archives, publish again, and check again: differences that are gone count as repaired."""
        for difference in found:
            if _is_archive(difference) and difference.version is not None:
                await self._restore(name, VersionText(difference.version))
        trouble = "rows do not prove what is right"
        if any(difference.kind in PUBLISHED_AGAIN for difference in found):
            try:
                await republish(self.parts, [name])
            except RegistryError as error:
                trouble = error.message
                log.warning("repair_incomplete", package=name, code=error.code, reason=error.message)
        left = {(item.kind, item.key, item.version) for item in await self.verification.of_package(name)}
        return [
            Outcome(item, False, _why_not(item, trouble))
            if (item.kind, item.key, item.version) in left
            else Outcome(item, True, "restored" if _is_archive(item) else "published again")
            for item in found
        ]

    async def _checksum(self, name: PackageName, version: VersionText) -> str | None:
        """The checksum of the version's archive in the rows, or None."""
        async with self.parts.database.transaction() as tx:
            states = await packages.states_of(tx, [name], "")
        rows = states[0].package.versions if states else ()
        return next((row.cksum for row in rows if row.version == version), None)

    async def _restore(self, name: PackageName, version: VersionText) -> None:
        """Put the archive where readers find it, from any copy with its checksum, if there is one.

        Storage is read before the rows. If the version is removed afterwards, an empty file takes the
        archive's place, and the put fails.
        """
        target = archive_key(name, version)
        seen = await self.parts.storage.head(target)
        checksum = await self._checksum(name, version)
        if checksum is None:
            return
        stores = [self.parts.storage] if self.copies is None else [self.parts.storage, self.copies]
        places = [(store, key) for store in stores for key in (target, *await staged_copies(store, checksum))]
        for store, key in places:
            if await digest_of(store, key) == checksum and await self._put_again(
                store, key, target, checksum, seen
            ):
                await self.parts.notifier.announce(Change((target,)))
                log.info("archive_restored", key=target, source=key)
                return

    async def _put_again(
        self, source: Storage, key: str, target: str, checksum: str, seen: BlobInfo | None
    ) -> bool:
        """Put the bytes over the blob that was seen, with their digest. False: one of both has changed."""
        with tempfile.TemporaryDirectory(prefix="x07-repair-") as directory:
            fetched = await fetch(source, key, Path(directory) / "archive")
            if fetched is None or fetched.digest != checksum:
                return False
            return await put_over(
                self.parts.storage, target, fetched.path, seen, content_type=ARCHIVE_TYPE, digest=checksum
            )

    async def _mend_extra(self, difference: Difference) -> Outcome:
        place = place_of(difference.key)
        if place is None:
            return Outcome(difference, False, "left alone: its purpose is unknown")
        if place.is_archive:
            return await self._mend_extra_archive(difference, place.package, str(place.version))
        async with self.parts.database.transaction() as tx:
            # Nobody can create the package or the version until the file is removed.
            await tree.lock_name(tx, place.package)
            if place.version is None:
                is_known = bool(await tree.known_names(tx, [place.package]))
            else:
                is_known = bool(await tree.known_versions(tx, [(place.package, place.version)]))
            if not is_known and (there := await self.parts.storage.head(difference.key)) is not None:
                await self.parts.storage.delete(difference.key, if_revision=there.revision)
        await self.parts.notifier.announce(Change((difference.key,)))
        return Outcome(difference, True, "published meanwhile" if is_known else "removed")

    async def _mend_extra_archive(self, difference: Difference, name: str, version: str) -> Outcome:
        """Remove the archive of a version that was removed for legal reasons, by publishing its package."""
        async with self.parts.database.transaction() as tx:
            is_removed = bool(await tree.removed_among(tx, [(name, version)]))
        if not is_removed:
            return Outcome(difference, False, "left alone: an archive is never removed")
        await republish(self.parts, [PackageName(name)])
        return Outcome(difference, True, "removed, because its version was removed")


async def republish(parts: Parts, names: Sequence[PackageName]) -> None:
    """Write every file of these packages again, and their search rows, from their rows."""
    async with parts.database.transaction() as tx:
        await packages.put_again(tx, names)
    for name in names:
        await publish_package(parts, name)


def _is_archive(difference: Difference) -> bool:
    """True for a difference of an archive, staged or published."""
    if difference.key.startswith(STAGING_PREFIX):
        return True
    place = place_of(difference.key)
    return place is not None and place.is_archive


def _why_not(difference: Difference, trouble: str) -> str:
    if _is_archive(difference):
        return "no copy has the right checksum; name a tree that has one with --from"
    return trouble
