"""Restores rows from the published tree, for a registry whose database is lost or older than its storage.

Whatever is newer in the tree is written to the rows (restoration.py). Each change is reported, and so is each
difference that a person has to decide. The tree does not contain accounts, tokens, sessions, audit events,
the texts of withdrawn advisories or who published a version; these are lost.

It may be stopped and started again, because each package is one transaction.
"""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import msgspec
from msgspec import UnsetType
from sqlalchemy.ext.asyncio import AsyncConnection

from indexer.entry import IndexAdvisory, IndexEntry
from indexer.parts import Parts
from indexer.queries import catalog, tree
from indexer.queries import rebuild as queries
from indexer.queries.rebuild import StoredPackage
from indexer.upkeep.fetch import fetch
from indexer.upkeep.merged_trees import merged
from indexer.upkeep.progress import Progress, pages
from indexer.upkeep.published_tree import Release, names_in, read_manifest, read_package, read_release
from indexer.upkeep.restoration import Finding, Plan, Thing, TreePackage, plan_of
from shared.blobs import ARCHIVE_TYPE, CATALOG_KEY, STAGING_PREFIX, archive_key, index_key
from shared.concurrency import together
from shared.errors import RegistryError
from shared.names import PackageName
from shared.storage.interface import Storage
from shared.versions import VersionText, greatest

BY: Final = "rebuilt-from-tree"
ARCHIVES_PER_PAGE: Final = 200


@dataclass(frozen=True, slots=True)
class Rebuild:
    """One walk. copies: another tree, such as a mirror, which may have files that storage lost."""

    parts: Parts
    progress: Progress
    copies: Storage | None = None

    async def run(self) -> AsyncIterator[Finding]:
        """Restore rows.

        Yields what was restored and what is in doubt. Raises StorageUnavailable, DatabaseUnavailable.
        """
        self.progress.begin("packages")
        async for name in self._names():
            try:
                async for finding in self._package(name):
                    yield finding
            except (RegistryError, msgspec.MsgspecError) as error:
                yield Finding(Thing.PACKAGE, False, name, None, f"nothing was restored: {error}")
            self.progress.advance()
        async for finding in self._uploads():
            yield finding
        if (there := await self.parts.storage.head(CATALOG_KEY)) is not None:
            await catalog.raise_generation_to(self.parts.database, there.generation)

    async def _names(self) -> AsyncIterator[PackageName]:
        """The names of the packages in both trees."""
        async for name in names_in(self.parts.storage):
            yield name
        if self.copies is not None:
            async for name in names_in(self.copies):
                if await self.parts.storage.head(index_key(name)) is None:
                    yield name

    async def _package(self, name: PackageName) -> AsyncIterator[Finding]:
        trees = [found for store in self._stores if (found := await read_package(store, name)) is not None]
        if not trees:
            return  # removed since it was listed
        async with self.parts.database.transaction() as tx:
            stored = await queries.stored_package(tx, name)
        tree_package, doubts = merged(trees, stored)
        for finding in await self._restore_archives(tree_package, stored):
            yield finding
        releases = [
            await read_release(self._stores, line)
            for line in tree_package.lines
            if line.version not in stored.versions and line.version not in stored.removed
        ]
        plan = await self._carry_out(tree_package, releases)
        for finding in plan.findings(name):
            yield finding
        for doubt in doubts:
            yield doubt
        for release in releases:
            if release.remark is not None:
                yield Finding(Thing.ARCHIVE, False, name, release.line.version, release.remark)

    @property
    def _stores(self) -> tuple[Storage, ...]:
        """The stores to read from, the registry's own first."""
        return (self.parts.storage,) if self.copies is None else (self.parts.storage, self.copies)

    async def _restore_archives(self, package: TreePackage, stored: StoredPackage) -> list[Finding]:
        """Put every listed archive that storage lacks, from a copy with the right checksum."""
        if self.copies is None:
            return []
        lines = [line for line in package.lines if line.version not in stored.removed]
        findings = []
        for some in pages(lines, ARCHIVES_PER_PAGE):
            findings += await together(*(self._restore_archive(self.copies, line) for line in some))
        return [finding for finding in findings if finding is not None]

    async def _restore_archive(self, copies: Storage, line: IndexEntry) -> Finding | None:
        key = archive_key(PackageName(line.name), VersionText(line.version))
        ours = await self.parts.storage.head(key)
        if ours is not None:
            wrong = f"it has SHA-256 {ours.digest}, not {line.cksum}; it is left as it is"
            is_right = ours.digest == line.cksum
            return None if is_right else Finding(Thing.ARCHIVE, False, line.name, line.version, wrong)
        with tempfile.TemporaryDirectory(prefix="x07-rebuild-") as directory:
            fetched = await fetch(copies, key, Path(directory) / "archive")
            if fetched is None or fetched.digest != line.cksum:
                why = "it is missing, and the copies have no archive with its checksum"
                return Finding(Thing.ARCHIVE, False, line.name, line.version, why)
            await self.parts.storage.put_file(
                key, fetched.path, content_type=ARCHIVE_TYPE, digest=fetched.digest, only_if_absent=True
            )
        return Finding(Thing.ARCHIVE, True, line.name, line.version, "restored from the copies")

    async def _carry_out(self, package: TreePackage, releases: Sequence[Release]) -> Plan:
        """Change the rows of a package in one transaction."""
        async with self.parts.database.transaction() as tx:
            await tree.lock_name(tx, package.name)
            stored = await queries.stored_package(tx, package.name)
            accounts = await queries.handles_among(tx, package.owners or ())
            plan = plan_of(package, stored, accounts)
            if not plan.is_empty:
                await _write(tx, package, stored, plan, releases)
        return plan

    async def _uploads(self) -> AsyncIterator[Finding]:
        """Report staged archives that no row refers to; an acknowledged publish may have staged them."""
        self.progress.begin("staged archives")
        async for info in self.parts.storage.scan(STAGING_PREFIX):
            self.progress.advance()
            if (finding := await self._upload(info.key)) is not None:
                yield finding

    async def _upload(self, key: str) -> Finding | None:
        async with self.parts.database.transaction() as tx:
            if await tree.is_awaited(tx, key):
                return None
        with tempfile.TemporaryDirectory(prefix="x07-rebuild-") as directory:
            fetched = await fetch(self.parts.storage, key, Path(directory) / "archive")
            manifest = None if fetched is None else read_manifest(fetched.path)
        if manifest is None:
            return None
        name, version = str(manifest.get("name")), str(manifest.get("version"))
        async with self.parts.database.transaction() as tx:
            listed = [(name, version)]
            if await tree.known_versions(tx, listed) or await tree.removed_among(tx, listed):
                return None
        detail = f"{key} exists and no row has it; its publish may have been acknowledged: publish it again"
        return Finding(Thing.UPLOAD, False, name, version, detail)


async def _write(
    tx: AsyncConnection,
    package: TreePackage,
    stored: StoredPackage,
    plan: Plan,
    releases: Sequence[Release],
) -> None:
    package_id = stored.id
    if package_id is None or plan.versions:
        # Only now, so that no user is created for a package that needs no change.
        publisher = await queries.put_user(tx, BY)
        package_id = package_id or await queries.put_package(tx, package.name, publisher)
        wanted = {line.version for line in plan.versions}
        for release in releases:
            if (version := release.line.version) in wanted:
                published_at = package.published_at.get(version, release.archived_at)
                await queries.add_version(tx, package_id, publisher, release.values, published_at)
                if release.provenance is not None:
                    await queries.add_provenance(tx, package_id, version, release.provenance)
    await queries.set_yanked(tx, package_id, plan.yanks)
    await queries.add_advisories(tx, package_id, [_advisory_row(each) for each in plan.advisories])
    await queries.withdraw_advisories(tx, plan.withdrawals)
    await queries.change_owners(tx, package_id, come=plan.new_owners, gone=plan.former_owners)
    if plan.versions or plan.yanks:
        versions = (await queries.stored_package(tx, package.name)).versions
        latest = greatest(version for version, row in versions.items() if not row.yanked)
        await queries.set_latest_version(tx, package_id, latest)
    await queries.raise_generation_above(tx, package_id, package.generation)


def _advisory_row(advisory: IndexAdvisory) -> dict[str, Any]:
    return {
        "id": advisory.id,
        "version": advisory.version,
        "kind": advisory.kind,
        "severity": advisory.severity,
        "summary": advisory.summary,
        "details": "" if isinstance(advisory.details, UnsetType) else advisory.details,
        "url": None if isinstance(advisory.url, UnsetType) else advisory.url,
        "created_at": datetime.fromisoformat(advisory.created_at_utc),
    }
