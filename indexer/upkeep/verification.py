"""Verifies storage against the rows, and reports differences as they are found.

Nothing is locked. A difference of a package counts only if the package was neither changed nor published
between two reads of its rows: workers write the files of a package only when its generation was raised, so a
file that differs then is wrong. Memory is bounded by one page of packages.
"""

from __future__ import annotations

import asyncio
import hashlib
import tempfile
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from indexer.catalog import render_catalog
from indexer.config import render_config
from indexer.encodings import read_chunks
from indexer.parts import Parts
from indexer.queries import catalog, packages, tree
from indexer.rows import PackageRow, PackageState, VersionRow
from indexer.upkeep.blob_check import check_file
from indexer.upkeep.differences import (
    LATE_S,
    Difference,
    ExpectedFile,
    Kind,
    corrupt_row,
    expected_archive,
    rendered_files,
    row_differences,
)
from indexer.upkeep.progress import Progress, pages
from indexer.upkeep.spool import spool
from indexer.upkeep.tree_keys import DOCUMENTS, Place, place_of
from shared.blobs import CATALOG_KEY, CONFIG_KEY, STAGING_PREFIX
from shared.concurrency import together
from shared.errors import DatabaseCorrupt
from shared.names import PackageName

PACKAGES_PER_PAGE: Final = 100
KEYS_PER_PAGE: Final = 500
BUILDER_PAUSE_S: Final = 0.2


@dataclass(frozen=True, slots=True)
class Verification:
    """One walk. deep: hash every byte. orphan_after_s: unneeded staged bytes are orphans after this time.

    late_s: a change that waits this long to be published is a difference.
    """

    parts: Parts
    progress: Progress
    deep: bool
    orphan_after_s: float
    late_s: float = LATE_S

    async def run(self, after: str = "") -> AsyncIterator[Difference]:
        """Every difference. after: check packages after this name.

        Raises StorageUnavailable, StorageFailed, DatabaseUnavailable.
        """
        for difference in await self.of_config():
            yield difference
        async for _, found in self.of_packages(after):
            for difference in found:
                yield difference
        async for difference in self.extras():
            yield difference
        async for difference in self.orphans():
            yield difference
        for difference in await self.of_catalog():
            yield difference

    async def of_config(self) -> list[Difference]:
        """The difference of config.json from what the settings render to."""
        body = render_config(self.parts.settings)
        expected = ExpectedFile(CONFIG_KEY, hashlib.sha256(body).hexdigest(), len(body))
        return await check_file(self.parts.storage, expected, deep=self.deep)

    async def of_packages(self, after: str = "") -> AsyncIterator[tuple[PackageName, list[Difference]]]:
        """The differences of packages, in byte order of names."""
        async with self.parts.database.transaction() as tx:
            self.progress.begin("packages", await tree.count_packages(tx, after))
        while names := await self._names(after):
            states = await self._states(names)
            results = await together(*(self._of_state(state) for state in states))
            for state, found in zip(states, results, strict=True):
                if found:
                    yield state.package.name, found
            self.progress.advance(len(names))
            after = names[-1]

    async def of_package(self, name: PackageName) -> list[Difference]:
        """The differences of one package; none if it is unknown."""
        states = await self._states([name])
        return await self._of_state(states[0]) if states else []

    async def _of_state(self, state: PackageState) -> list[Difference]:
        """The differences of a package, read at a time when it does not change."""
        while found := await self._compare(state):
            again = await self._states([state.package.name])
            if not again:
                return []  # removed meanwhile; its remaining files are extra
            if again[0].is_same_as(state):
                return found
            state = again[0]
        return []

    async def _compare(self, state: PackageState) -> list[Difference]:
        private = self.parts.settings.private_namespaces
        found = list(row_differences(state, self._public_keys(), self.late_s, private))
        for rows in pages(state.package.versions, KEYS_PER_PAGE):
            for differences in await together(*(self._of_archive(state.package, row) for row in rows)):
                found += differences
        if not state.is_clean:
            return found
        try:
            files = list(rendered_files(state.package))
        except DatabaseCorrupt as error:
            return [*found, corrupt_row(state.package, error)]
        for some in pages(files, KEYS_PER_PAGE):
            for differences in await together(*(self._of_file(file) for file in some)):
                found += differences
        return found

    async def _of_archive(self, package: PackageRow, row: VersionRow) -> list[Difference]:
        """The difference of an archive.

        A staged one may be published already, if a publication was cut off.
        """
        expected = expected_archive(package.name, row)
        if row.staged:
            staged = ExpectedFile(
                row.staging_key, row.cksum, None, package.name, row.version, is_archive=True
            )
            found = await self._of_file(staged)
            return found if found and await self._of_file(expected) else []
        return await self._of_file(expected)

    async def _of_file(self, expected: ExpectedFile) -> list[Difference]:
        return await check_file(self.parts.storage, expected, deep=self.deep)

    async def of_catalog(self) -> list[Difference]:
        """The differences of the catalog from the lines of packages, at a time when no worker builds it."""
        self.progress.begin("catalog")
        while True:
            found = await self._of_catalog_now()
            if found is not None:
                return found
            await asyncio.sleep(BUILDER_PAUSE_S)

    async def _of_catalog_now(self) -> list[Difference] | None:
        """The differences of the catalog; None if a worker is building it."""
        async with self.parts.database.transaction("REPEATABLE READ") as tx:
            if not await catalog.try_catalog_lock(tx):
                return None
            waits_s = await tree.oldest_catalog_change_s(tx)
            if waits_s is not None:
                late = Difference(Kind.UNPUBLISHED, CATALOG_KEY, f"changes wait for {waits_s:.0f} s")
                return [late] if waits_s >= self.late_s else []
            with tempfile.TemporaryDirectory(prefix="x07-catalog-") as directory:
                path = Path(directory) / "catalog.json"
                digest = await spool(path, render_catalog(catalog.catalog_lines(tx)))
                size_bytes = path.stat().st_size
                expected = ExpectedFile(
                    CATALOG_KEY, digest, size_bytes, chunks=lambda: read_chunks(path), codings=("gzip",)
                )
                return await self._of_file(expected)

    async def extras(self) -> AsyncIterator[Difference]:
        """Blobs of the published tree that no row requires."""
        for prefix in ("index/", "dl/"):
            self.progress.begin(f"keys below {prefix}")
            page: list[str] = []
            async for info in self.parts.storage.scan(prefix):
                if not info.is_removed:
                    page.append(info.key)
                if len(page) == KEYS_PER_PAGE:
                    for difference in await self._extras_among(page):
                        yield difference
                    page = []
            for difference in await self._extras_among(page):
                yield difference

    async def _extras_among(self, keys: Sequence[str]) -> list[Difference]:
        """The extra blobs of a listing.

        Rows are read after it, because files are written after their rows.
        """
        self.progress.advance(len(keys))
        places = {key: place_of(key) for key in keys if key not in DOCUMENTS}
        packages = {place.package for place in places.values() if place and place.version is None}
        releases = {(place.package, place.version) for place in places.values() if place and place.version}
        async with self.parts.database.transaction() as tx:
            known = await tree.known_names(tx, packages) if packages else set()
            known_releases = await tree.known_versions(tx, releases) if releases else set()

        def is_known(place: Place | None) -> bool:
            if place is None:
                return False
            if place.version is None:
                return place.package in known
            return (place.package, place.version) in known_releases

        return [_extra(key, place) for key, place in places.items() if not is_known(place)]

    async def orphans(self) -> AsyncIterator[Difference]:
        """Staged bytes that no version needs and no publish is about to refer to."""
        self.progress.begin("staged archives")
        async for info in self.parts.storage.scan(STAGING_PREFIX):
            self.progress.advance()
            age_s = (datetime.now(UTC) - info.modified_at).total_seconds()
            if age_s <= self.orphan_after_s:
                continue
            async with self.parts.database.transaction() as tx:
                if await tree.is_awaited(tx, info.key):
                    continue
            yield Difference(Kind.ORPHAN_STAGING, info.key, f"nothing refers to it; {age_s:.0f} s old")

    async def _names(self, after: str) -> list[PackageName]:
        async with self.parts.database.transaction() as tx:
            return await tree.names_behind(tx, after, PACKAGES_PER_PAGE)

    async def _states(self, names: Sequence[PackageName]) -> list[PackageState]:
        official = self.parts.settings.official_handle
        async with self.parts.database.transaction("REPEATABLE READ") as tx:
            return await packages.states_of(tx, names, official)

    def _public_keys(self) -> dict[str, bytes]:
        """The keys that config.json publishes, by id."""
        own = self.parts.settings.signing_public_key()
        return dict([*self.parts.settings.verifying_keys(), *([] if own is None else [own])])


def _extra(key: str, place: Place | None) -> Difference:
    if place is None:
        return Difference(Kind.EXTRA, key, "it is not a file of a registry")
    return Difference(Kind.EXTRA, key, "no row requires it", place.package, place.version)
