"""A mirror's catalog, and mirroring without a log: copies everything that the catalog lists, unverified."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import msgspec

from indexer.mirror.documents import catalog_of, names_in_catalog
from indexer.mirror.package import Complaint, Packages, parse_lines
from indexer.mirror.state import FOLDER
from indexer.mirror.wanted import is_wanted
from indexer.upkeep.progress import Progress
from indexer.upkeep.web import Unchanged
from shared.blobs import CATALOG_KEY, JSON_TYPE, index_key
from shared.concurrency import for_each
from shared.errors import StorageUnavailable
from shared.names import PackageName, parse_name
from shared.publish_errors import InvalidName

NAME: Final = "catalog.json"


def has_catalog(root: Path) -> bool:
    """True if the mirror remembers the origin's catalog."""
    return (root / FOLDER / NAME).exists()


async def fetch_catalog(packages: Packages, root: Path, etag: str | None) -> str | None:
    """Remember the origin's catalog. Returns its ETag. Raises StorageUnavailable."""
    path = packages.spool / NAME
    fetched = await packages.origin.catalog(path, etag)
    if isinstance(fetched, Unchanged):
        return etag
    if fetched is None:
        return None
    os.replace(path, root / FOLDER / NAME)
    return fetched.etag


async def put_catalog(packages: Packages, root: Path) -> list[Complaint]:
    """Put the origin's catalog into the mirror, reduced to the packages that the mirror has."""
    if not has_catalog(root):
        return [Complaint(CATALOG_KEY, "the origin does not have it")]
    try:
        body = await asyncio.to_thread(_catalog, root)
    except msgspec.MsgspecError as error:
        return [Complaint(CATALOG_KEY, f"it cannot be read: {error}")]
    await packages.put_document(CATALOG_KEY, body, JSON_TYPE)
    return []


def _catalog(root: Path) -> bytes:
    return catalog_of(
        (root / FOLDER / NAME).read_bytes(), lambda name: _is_name(name) and _has(root, PackageName(name))
    )


def _has(root: Path, name: PackageName) -> bool:
    return (root / index_key(name)).exists()


def _is_name(text: str) -> bool:
    try:
        parse_name(text)
    except InvalidName:
        return False
    return True


@dataclass(slots=True)
class CatalogWalk:
    """Copies every package that the catalog lists. patterns: of the names to mirror."""

    packages: Packages
    root: Path
    progress: Progress
    patterns: Sequence[str]
    jobs: int
    _complaints: list[Complaint] = field(default_factory=list)

    def complaints(self, older_than_s: float = 0.0) -> list[Complaint]:
        """The problems of the last run."""
        return list(self._complaints)

    async def run(self) -> None:
        """Copy all packages, verified by checksum and signature only. Raises StorageUnavailable."""
        self._complaints.clear()
        body = (self.root / FOLDER / NAME).read_bytes() if has_catalog(self.root) else b'{"packages":[]}'
        listed = (name for name in names_in_catalog(body) if is_wanted(name, self.patterns))
        names = [name for name in listed if _is_name(name)]
        self.progress.begin("packages", len(names))
        await for_each(names, self._package, at_once=self.jobs)

    async def _package(self, text: str) -> None:
        name = PackageName(text)
        try:
            shown = await self.packages.lines_of(name)
            body = await self.packages.origin.index_file(name, refresh=False)
            lines = parse_lines(body or b"")
            changed = [version for version, line in lines.items() if shown.get(version) != line]
            if body is None:
                self._complaints.append(Complaint(index_key(name), "the catalog lists it, but it is missing"))
            elif changed or lines.keys() != shown.keys() or self.packages.deep:
                self._complaints += await self.packages.put(name, lines, changed)
                await self.packages.remove(name, shown.keys() - lines.keys())
        except (StorageUnavailable, msgspec.MsgspecError) as error:
            self._complaints.append(Complaint(index_key(name), str(error)))
        self.progress.advance()
