"""Exports the published tree to a mirror of plain files, and checks every checksum.

The mirror has an `index/` with its own config.json, and a `dl/` beside it (contract, 10.1). Archives are
copied before the index file that lists them. The catalog is read first and written last. An interrupted run
therefore leaves a consistent mirror, and the next run continues it. Compressed variants are not copied.
Temporary files are beside `index/`, never in it, because clients take every name there without a dot for a
package; the run removes them at its end. Files keep their generations, so that a registry can be restored
from the mirror (rebuild.py).
"""

from __future__ import annotations

import asyncio
import hashlib
import tempfile
from collections.abc import AsyncIterator, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from indexer.log.copying import copy_entries, held_in, put_checkpoint
from indexer.log.invalid import LogInvalid
from indexer.log.note import VerifierKey
from indexer.log.reader import LogReader, fetch_from
from indexer.upkeep.blob_check import digest_of
from indexer.upkeep.fetch import Fetched, fetch
from indexer.upkeep.index_lines import Line, is_index_file, lines_of, package_of
from indexer.upkeep.progress import Progress, pages
from shared.blobs import (
    ARCHIVE_TYPE,
    CATALOG_KEY,
    CHECKPOINT_KEY,
    CONFIG_KEY,
    JSON_TYPE,
    NDJSON_TYPE,
    advisories_key,
    archive_key,
    metadata_key,
    name_in_key,
    package_key,
)
from shared.concurrency import together
from shared.errors import TornBlob
from shared.private_names import is_private
from shared.storage.filesystem import FileSystemStorage
from shared.storage.interface import BlobInfo, Found, Storage
from shared.storage.keys import TEMPORARY
from shared.storage.leftovers import remove_temporary_folder

PACKAGES_AT_ONCE: Final = 16
PACKAGES_PER_PAGE: Final = 200
VERSIONS_AT_ONCE: Final = 8
VERSIONS_PER_PAGE: Final = 200


@dataclass(frozen=True, slots=True)
class Problem:
    """A file that is missing or wrong in the mirror. detail: text for people."""

    key: str
    detail: str


@dataclass(slots=True)
class Copied:
    """The totals of a run. files: copied; kept: already up to date; size_bytes: of the copied files.

    entries: copied entries of the transparency log, whose files are not counted.
    """

    files: int = 0
    kept: int = 0
    removed: int = 0
    size_bytes: int = 0
    entries: int = 0


class Export:
    """One run. deep: hash files that the mirror already has, instead of trusting their stored digests."""

    def __init__(
        self,
        source: Storage,
        root: Path,
        config: bytes,
        progress: Progress,
        *,
        deep: bool,
        vkey: str | None = None,
        private: Collection[str] = (),
    ) -> None:
        """root: of the mirror; created if missing. config: its config.json. vkey: public key of the log.

        private: patterns of names that are left out, because everybody may read a mirror.
        """
        self.copied = Copied()
        self._source = source
        self._root = root
        self._mirror = FileSystemStorage(root)
        self._config = config
        self._progress = progress
        self._deep = deep
        self._vkey = vkey
        self._private = private

    async def close(self) -> None:
        """Release the mirror's threads, and remove its temporary files."""
        await self._mirror.close()
        await asyncio.to_thread(remove_temporary_folder, self._root / TEMPORARY)

    async def run(self) -> AsyncIterator[Problem]:
        """Bring the mirror up to date. Yields every problem. Raises StorageUnavailable or StorageFailed."""
        await self._mirror.create()
        with tempfile.TemporaryDirectory(prefix="x07-export-") as spool:
            catalog = await fetch(self._source, CATALOG_KEY, Path(spool) / "catalog.json")
            await self._put_body(CONFIG_KEY, self._config, JSON_TYPE)
            self._progress.begin("packages")
            async for keys in self._index_files():
                copies = (self._package(key, Path(spool)) for key in keys)
                for problems in await together(*copies, at_once=PACKAGES_AT_ONCE):
                    for problem in problems:
                        yield problem
                self._progress.advance(len(keys))
            async for problem in self._log():
                yield problem
            if catalog is None:
                yield Problem(CATALOG_KEY, "the registry does not have it")
            elif not await self._has(CATALOG_KEY, catalog.digest, catalog.generation):
                await self._put_file(CATALOG_KEY, catalog, JSON_TYPE)

    async def prune(self) -> None:
        """Remove files from the mirror that the registry no longer has, or that are private now."""
        self._progress.begin("keys of the mirror")
        for prefix in ("index/", "dl/"):
            async for info in self._mirror.scan(prefix):
                self._progress.advance()
                if info.key != CONFIG_KEY and not await self._is_published(info.key):
                    await self._mirror.delete(info.key)
                    self.copied.removed += 1

    async def _log(self) -> AsyncIterator[Problem]:
        """Copy the transparency log, if the registry has one."""
        if self._vkey is None:
            return
        try:
            source = LogReader(fetch_from(self._source), [VerifierKey.parse(self._vkey)])
            head = await source.head()
            if head is None:
                return
            held = await held_in(self._mirror, source)
            self._progress.begin("entries of the log", head.size - held.edge.size)
            async for _, entries in copy_entries(source, self._mirror, held, head):
                self._progress.advance(len(entries))
                self.copied.entries += len(entries)
            await put_checkpoint(self._mirror, held, head)
        except LogInvalid as error:
            yield Problem(CHECKPOINT_KEY, str(error))

    def _is_private(self, key: str) -> bool:
        return is_private(name_in_key(key), self._private)

    async def _is_published(self, key: str) -> bool:
        if self._is_private(key):
            return False
        info = await self._source.head(key)
        return info is not None and not info.is_removed

    async def _index_files(self) -> AsyncIterator[list[str]]:
        """The keys of the index files of all packages but private ones, a page at a time."""
        page: list[str] = []
        async for info in self._source.scan("index/"):
            if is_index_file(info.key) and not self._is_private(info.key):
                page.append(info.key)
            if len(page) == PACKAGES_PER_PAGE:
                yield page
                page = []
        yield page

    async def _package(self, key: str, spool: Path) -> list[Problem]:
        """Copy what the mirror lacks of a package; its index file comes last. Returns the problems."""
        try:
            if not self._deep and await self._is_unchanged(key):
                return []
            return await self._copy_package(key, spool)
        except TornBlob:
            return [Problem(key, "it, or a document of its versions, is damaged")]

    async def _is_unchanged(self, key: str) -> bool:
        """True if the mirror has the registry's index file and page, and a file for all that the index lists.

        The index file is put last, with its generation, so the documents are of that generation, too.
        """
        keys = (key, package_key(package_of(key)))
        there = await together(*map(self._source.head, keys))
        here = await together(*map(self._mirror.head, keys))
        if not all(map(_is_same, there, here)):
            return False
        found = await self._mirror.get(key)
        lines = list(lines_of(found.body)) if isinstance(found, Found) else []
        archives = await together(*(self._mirror.head(archive_key(*line.release)) for line in lines))
        documents = await together(*(self._mirror.head(metadata_key(*line.release)) for line in lines))
        is_whole = None not in documents and all(
            archive is not None and archive.digest == line.cksum
            for archive, line in zip(archives, lines, strict=True)
        )
        if is_whole:
            self.copied.kept += len(keys) + len(archives) + len(documents)
        return is_whole

    async def _copy_package(self, key: str, spool: Path) -> list[Problem]:
        found = await self._source.get(key)
        if not isinstance(found, Found) or found.info.is_removed:
            return []
        problems: list[Problem] = []
        for some in pages(list(lines_of(found.body)), VERSIONS_PER_PAGE):
            copies = (self._version(line, spool) for line in some)
            for problem in await together(*copies, at_once=VERSIONS_AT_ONCE):
                if problem is not None:
                    problems.append(problem)
        await self._copy_document(package_key(package_of(key)))
        await self._put_body(key, found.body, NDJSON_TYPE, found.info.generation)
        return problems

    async def _version(self, line: Line, spool: Path) -> Problem | None:
        """Copy the metadata document and the archive of a version, unless the mirror has them."""
        name, version = line.release
        await self._copy_document(metadata_key(name, version))
        await self._copy_document(advisories_key(name, version))
        key = archive_key(name, version)
        if await self._has(key, line.cksum):
            return None
        with tempfile.TemporaryDirectory(dir=spool) as directory:
            fetched = await fetch(self._source, key, Path(directory) / "archive")
            if fetched is None:
                return Problem(key, "the registry does not have it")
            if fetched.digest != line.cksum:
                return Problem(key, f"its SHA-256 is {fetched.digest}, not {line.cksum}")
            await self._put_file(key, fetched, ARCHIVE_TYPE)
        return None

    async def _copy_document(self, key: str) -> None:
        """Copy a JSON document if the registry has it."""
        document = await self._source.get(key)
        if isinstance(document, Found):
            await self._put_body(key, document.body, JSON_TYPE, document.info.generation)

    async def _has(self, key: str, digest: str, generation: int | None = None) -> bool:
        """True if the mirror has exactly these bytes with this generation (None: any generation)."""
        info = await self._mirror.head(key)
        if info is None or info.digest != digest or generation not in (None, info.generation):
            return False
        is_right = not self._deep or await digest_of(self._mirror, key) == digest
        self.copied.kept += is_right
        return is_right

    async def _put_body(self, key: str, body: bytes, content_type: str, generation: int = 0) -> None:
        digest = hashlib.sha256(body).hexdigest()
        if not await self._has(key, digest, generation):
            await self._forget_newer(key, generation)
            await self._mirror.put(key, body, content_type=content_type, digest=digest, generation=generation)
            self._count(len(body))

    async def _put_file(self, key: str, file: Fetched, content_type: str) -> None:
        await self._forget_newer(key, file.generation)
        await self._mirror.put_file(
            key, file.path, content_type=content_type, digest=file.digest, generation=file.generation
        )
        self._count(file.size_bytes)

    async def _forget_newer(self, key: str, generation: int) -> None:
        """Remove the mirror's newer files, so that it follows a registry whose generations began anew."""
        info = await self._mirror.head(key)
        if info is not None and info.generation > generation:
            await self._mirror.delete(key)

    def _count(self, size_bytes: int) -> None:
        self.copied.files += 1
        self.copied.size_bytes += size_bytes


def _is_same(there: BlobInfo | None, here: BlobInfo | None) -> bool:
    """True if both stores have a blob of the same bytes and generation."""
    if there is None or here is None:
        return False
    return (there.digest, there.generation) == (here.digest, here.generation)
