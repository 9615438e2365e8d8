"""Export: the published tree as a mirror of plain files, every checksum checked on the way.

The mirror is an `index/` with a config.json of its own and a `dl/` beside it (contract, 10.1). Archives
come before the index file that lists them, and the catalog, which was read first, comes last: a mirror
that is cut off is right in what it lists, and the next run goes on from there. Compressed variants are
left out; temporary files lie beside `index/`, never in it, because a client takes every name there
without a dot for a package.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from indexer.checks import digest_of
from indexer.fetching import Fetched, fetch
from indexer.places import DOCUMENTS, place_of
from indexer.walk import Progress, pages
from shared.blobs import (
    ARCHIVE_TYPE,
    CATALOG_KEY,
    CONFIG_KEY,
    JSON_TYPE,
    NDJSON_TYPE,
    archive_key,
    metadata_key,
)
from shared.errors import TornBlob
from shared.names import PackageName
from shared.storage.filesystem import FileSystemStorage
from shared.storage.interface import Found, Storage
from shared.storage.together import together
from shared.versions import VersionText

VERSIONS_AT_ONCE: Final = 8
VERSIONS_A_PAGE: Final = 200


class Line(msgspec.Struct, frozen=True):
    """What a mirror needs of an index line."""

    name: str
    version: str
    cksum: str


@dataclass(frozen=True, slots=True)
class Problem:
    """A file that is not in the mirror as it should be. detail: for people."""

    key: str
    detail: str


@dataclass(slots=True)
class Copied:
    """What a run did. files: put; kept: there already; size_bytes: of what was put."""

    files: int = 0
    kept: int = 0
    removed: int = 0
    size_bytes: int = 0


class Export:
    """One run. deep: hash what the mirror has already, instead of believing the digest kept with it."""

    def __init__(self, source: Storage, root: Path, config: bytes, progress: Progress, *, deep: bool) -> None:
        """root: of the mirror; made when it is not there. config: its config.json."""
        self.copied = Copied()
        self._source = source
        self._mirror = FileSystemStorage(root)
        self._config = config
        self._progress = progress
        self._deep = deep

    async def close(self) -> None:
        """Release the mirror's threads."""
        await self._mirror.close()

    async def run(self) -> AsyncIterator[Problem]:
        """Bring the mirror up to date; every problem. Raises StorageUnavailable or StorageFailed."""
        await self._mirror.create()
        with tempfile.TemporaryDirectory(prefix="x07-export-") as spool:
            catalog = await fetch(self._source, CATALOG_KEY, Path(spool) / "catalog.json")
            await self._put_body(CONFIG_KEY, self._config, JSON_TYPE)
            self._progress.begin("packages")
            async for info in self._source.scan("index/"):
                if _is_index_file(info.key):
                    try:
                        async for problem in self._package(info.key, Path(spool)):
                            yield problem
                    except TornBlob:
                        yield Problem(info.key, "it, or a document of its versions, is torn")
                    self._progress.advance()
            if catalog is None:
                yield Problem(CATALOG_KEY, "the registry has none")
            elif not await self._has(CATALOG_KEY, catalog.digest):
                await self._put_file(CATALOG_KEY, catalog, JSON_TYPE)

    async def prune(self) -> None:
        """Remove from the mirror what the registry has no more."""
        self._progress.begin("keys of the mirror")
        for prefix in ("index/", "dl/"):
            async for info in self._mirror.scan(prefix):
                self._progress.advance()
                if info.key != CONFIG_KEY and await self._source.head(info.key) is None:
                    await self._mirror.delete(info.key)
                    self.copied.removed += 1

    async def _package(self, key: str, spool: Path) -> AsyncIterator[Problem]:
        found = await self._source.get(key)
        if not isinstance(found, Found):
            return  # removed since it was listed
        lines = list(_lines(found.body))
        for some in pages(lines, VERSIONS_A_PAGE):
            copies = (self._version(line, spool) for line in some)
            for problem in await together(*copies, at_once=VERSIONS_AT_ONCE):
                if problem is not None:
                    yield problem
        await self._put_body(key, found.body, NDJSON_TYPE)

    async def _version(self, line: Line, spool: Path) -> Problem | None:
        """Copy the metadata document and the archive of a version, if the mirror has them not."""
        name, version = PackageName(line.name), VersionText(line.version)
        document = await self._source.get(metadata_key(name, version))
        if isinstance(document, Found):
            await self._put_body(metadata_key(name, version), document.body, JSON_TYPE)
        key = archive_key(name, version)
        if await self._has(key, line.cksum):
            return None
        with tempfile.TemporaryDirectory(dir=spool) as directory:
            fetched = await fetch(self._source, key, Path(directory) / "archive")
            if fetched is None:
                return Problem(key, "the registry has none")
            if fetched.digest != line.cksum:
                return Problem(key, f"its SHA-256 is {fetched.digest}, not {line.cksum}")
            await self._put_file(key, fetched, ARCHIVE_TYPE)
        return None

    async def _has(self, key: str, digest: str) -> bool:
        """True if the mirror holds these very bytes."""
        info = await self._mirror.head(key)
        if info is None or info.digest != digest:
            return False
        is_right = not self._deep or await digest_of(self._mirror, key) == digest
        self.copied.kept += is_right
        return is_right

    async def _put_body(self, key: str, body: bytes, content_type: str) -> None:
        digest = hashlib.sha256(body).hexdigest()
        if not await self._has(key, digest):
            await self._mirror.put(key, body, content_type=content_type, digest=digest)
            self._count(len(body))

    async def _put_file(self, key: str, file: Fetched, content_type: str) -> None:
        await self._mirror.put_file(key, file.path, content_type=content_type, digest=file.digest)
        self._count(file.size_bytes)

    def _count(self, size_bytes: int) -> None:
        self.copied.files += 1
        self.copied.size_bytes += size_bytes


def _is_index_file(key: str) -> bool:
    """True for the index file of a package, not for its variants."""
    return key not in DOCUMENTS and place_of(key) is not None and "." not in key


def _lines(body: bytes) -> Iterator[Line]:
    for line in body.splitlines():
        if line.strip():
            yield msgspec.json.decode(line, type=Line)
