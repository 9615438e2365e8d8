"""Repair: what differs is made right where rows prove what is right, and told where they do not.

Rendered files are rendered again, by the one publication that there is. An archive is put again only
from bytes whose SHA-256 is the version's checksum. An archive without a row is left alone, as is one
that is wrong and has no right copy. Files that no row asks for and that could be rendered again are
removed. Rows are never changed. May be stopped at any point and started again.
"""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import structlog

from indexer import queries, queries_tree
from indexer.catalog_publication import publish_catalog
from indexer.checks import digest_of
from indexer.differences import Difference, Kind
from indexer.fetching import fetch
from indexer.places import place_of
from indexer.publication import Parts, publish_config, publish_package
from indexer.verification import Verification
from shared.blobs import ARCHIVE_TYPE, archive_key, staging_key
from shared.errors import RegistryError
from shared.jobs import Change
from shared.names import PackageName
from shared.storage.interface import Storage
from shared.versions import VersionText

# What publishing a package again can make right.
PUBLISHED_AGAIN: Final = frozenset({Kind.MISSING, Kind.WRONG_CHECKSUM, Kind.STALE, Kind.UNPUBLISHED})

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one difference. action: what was done, or why nothing could be."""

    difference: Difference
    is_mended: bool
    action: str


@dataclass(frozen=True, slots=True)
class Repair:
    """One walk that mends. copies: another tree that may hold archives (a mirror, an old backup)."""

    parts: Parts
    verification: Verification
    copies: Storage | None = None

    async def run(self, after: str = "") -> AsyncIterator[Outcome]:
        """What became of every difference. after: the name behind which the packages are looked at.

        Raises StorageUnavailable, StorageFailed, DatabaseUnavailable.
        """
        if found := await self.verification.of_config():
            await publish_config(self.parts, anew=True)
            for difference in found:
                yield Outcome(difference, True, "written again")
        of_catalog = await self.verification.of_catalog()  # before packages change it on their way
        async for name, found in self.verification.of_packages(after):
            for outcome in await self._mend_package(name, found):
                yield outcome
        async for difference in self.verification.extras():
            yield await self._mend_extra(difference)
        async for difference in self.verification.orphans():
            yield Outcome(difference, False, "`gc` removes it")
        is_built = await publish_catalog(self.parts, anew=bool(of_catalog))
        for difference in of_catalog:
            yield Outcome(difference, True, "written again" if is_built else "a worker writes it now")

    async def _mend_package(self, name: PackageName, found: Sequence[Difference]) -> list[Outcome]:
        """Restore archives, publish again, look again: what is not there any more was mended."""
        for difference in found:
            if (checksum := await self._checksum_of_archive(difference)) is not None:
                await self._restore(difference, checksum)
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

    async def _checksum_of_archive(self, difference: Difference) -> str | None:
        """The checksum that the rows give an archive; None for a difference of something else."""
        if not _is_archive(difference) or difference.package is None or difference.version is None:
            return None
        async with self.parts.database.transaction() as tx:
            states = await queries.states_of(tx, [difference.package], "")
        rows = states[0].package.versions if states else ()
        return next((row.cksum for row in rows if row.version == difference.version), None)

    async def _restore(self, difference: Difference, checksum: str) -> bool:
        """Put the archive where readers find it, from any copy of these very bytes; False: none is left."""
        target = archive_key(PackageName(str(difference.package)), VersionText(str(difference.version)))
        ours, copies = self.parts.storage, self.copies
        places = [(ours, target), (ours, staging_key(checksum))]
        if copies is not None:
            places += [(copies, target), (copies, staging_key(checksum))]
        for store, key in places:
            if await digest_of(store, key) == checksum and await self._put_again(
                store, key, target, checksum
            ):
                await self.parts.notifier.announce(Change((target,)))
                log.info("archive_restored", key=target, source=key)
                return True
        return False

    async def _put_again(self, source: Storage, key: str, target: str, checksum: str) -> bool:
        """Put the bytes under the target, with their digest. False: they changed on the way."""
        with tempfile.TemporaryDirectory(prefix="x07-repair-") as directory:
            fetched = await fetch(source, key, Path(directory) / "archive")
            if fetched is None or fetched.digest != checksum:
                return False
            await self.parts.storage.put_file(
                target, fetched.path, content_type=ARCHIVE_TYPE, digest=checksum
            )
        return True

    async def _mend_extra(self, difference: Difference) -> Outcome:
        place = place_of(difference.key)
        if place is None:
            return Outcome(difference, False, "left alone: it is not known what it is")
        if place.is_archive:
            return await self._mend_extra_archive(difference, place.package, str(place.version))
        async with self.parts.database.transaction() as tx:
            # Nobody can create the package, or the version, before the file is gone.
            await queries_tree.lock_name(tx, place.package)
            if place.version is None:
                is_known = bool(await queries_tree.known_names(tx, [place.package]))
            else:
                is_known = bool(await queries_tree.known_versions(tx, [(place.package, place.version)]))
            if not is_known:
                await self.parts.storage.delete(difference.key)
        await self.parts.notifier.announce(Change((difference.key,)))
        return Outcome(difference, True, "published meanwhile" if is_known else "removed")

    async def _mend_extra_archive(self, difference: Difference, name: str, version: str) -> Outcome:
        """Only a version that was removed for legal reasons loses its archive, by its publication."""
        async with self.parts.database.transaction() as tx:
            is_removed = bool(await queries_tree.removed_among(tx, [(name, version)]))
        if not is_removed:
            return Outcome(difference, False, "left alone: an archive is never removed")
        await republish(self.parts, [PackageName(name)])
        return Outcome(difference, True, "removed, as its version was")


async def republish(parts: Parts, names: Sequence[PackageName]) -> None:
    """Write every file of these packages again, and what search says of them, as their rows are now."""
    async with parts.database.transaction() as tx:
        await queries.put_again(tx, names)
    for name in names:
        await publish_package(parts, name)


def _is_archive(difference: Difference) -> bool:
    """True for a difference of an archive, staged or published."""
    if difference.key.startswith("staging/"):
        return True
    place = place_of(difference.key)
    return place is not None and place.is_archive


def _why_not(difference: Difference, trouble: str) -> str:
    if _is_archive(difference):
        return "no copy with the right checksum is left; give one with --from"
    return trouble
