"""Copies one package into the mirror: archives and documents before the index file that lists them."""

from __future__ import annotations

import hashlib
from base64 import b64decode
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from uuid import uuid4

import msgspec

from indexer.config import IndexConfig
from indexer.entry import IndexEntry, join_lines, split_lines
from indexer.mirror.origin import Origin
from indexer.upkeep.blob_check import digest_of
from indexer.upkeep.progress import pages
from shared.blobs import (
    ARCHIVE_TYPE,
    JSON_TYPE,
    NDJSON_TYPE,
    advisories_key,
    archive_key,
    index_key,
    metadata_key,
    package_key,
)
from shared.concurrency import together
from shared.foreign_json import decode_foreign
from shared.names import PackageName
from shared.publish_errors import InvalidVersion
from shared.signing import verify
from shared.storage.filesystem import FileSystemStorage
from shared.storage.interface import Found
from shared.versions import VersionText, parse_version, read_version, sort_ascending

VERSIONS_AT_ONCE: Final = 8
VERSIONS_PER_PAGE: Final = 200
NO_ADVISORIES: Final = b'"advisories":[]}'


@dataclass(frozen=True, slots=True)
class Complaint:
    """Something that is wrong at the origin. key: of the file. detail: text for people."""

    key: str
    detail: str


@dataclass(slots=True)
class Copied:
    """The totals. files: put; kept: archives that were up to date; size_bytes: of the files put."""

    files: int = 0
    kept: int = 0
    removed: int = 0
    size_bytes: int = 0
    entries: int = 0


@dataclass(slots=True)
class Packages:
    """Copies packages into the mirror. spool: a folder on its file system, for unfinished archives.

    deep: hash the archives that the mirror has, instead of trusting their stored digests.
    """

    origin: Origin
    mirror: FileSystemStorage
    spool: Path
    deep: bool = False
    copied: Copied = field(default_factory=Copied)

    async def lines_of(self, name: PackageName) -> dict[str, bytes]:
        """The lines that the mirror shows, by version."""
        found = await self.mirror.get(index_key(name))
        return parse_lines(found.body) if isinstance(found, Found) else {}

    async def put(
        self, name: PackageName, lines: Mapping[str, bytes], changed: Collection[str]
    ) -> list[Complaint]:
        """Make the mirror show these lines, except those whose archive is missing or wrong.

        changed: versions whose metadata may be new. Returns a complaint for each line that is not shown.
        Raises StorageUnavailable, StorageFailed.
        """
        complaints: dict[str, Complaint] = {}
        for some in pages(list(lines), VERSIONS_PER_PAGE):
            work = (self._version(name, version, lines[version], version in changed) for version in some)
            for version, found in zip(some, await together(*work, at_once=VERSIONS_AT_ONCE), strict=True):
                if found is not None:
                    complaints[version] = found
        good = {version: lines[version] for version in lines if version not in complaints}
        if good:
            await self._document(package_key(name), await self._page(name))
        await self._index_file(name, good)
        return list(complaints.values())

    async def remove(self, name: PackageName, versions: Collection[str]) -> None:
        """Delete the files of removed versions, which no line names any more."""
        for version in filter(read_version, versions):
            for key in (archive_key, metadata_key, advisories_key):
                await self._delete(key(name, VersionText(version)))

    async def _version(
        self, name: PackageName, version: str, line: bytes, has_changed: bool
    ) -> Complaint | None:
        """Copy archive and metadata of a version. Returns what is wrong with it, or None."""
        key = archive_key(name, VersionText(version))
        try:
            entry, text = decode_foreign(line, IndexEntry), parse_version(version)
        except (msgspec.MsgspecError, InvalidVersion) as error:
            return Complaint(index_key(name), f"the line of {version} cannot be read: {error}")
        if (entry.name, entry.version) != (name, version):
            return Complaint(index_key(name), f"the line of {version} is of {entry.name} {entry.version}")
        if (wrong := wrong_signature(entry, self.origin.config)) is not None:
            return Complaint(index_key(name), f"the signature of {version} is wrong: {wrong}")
        if (wrong := await self._archive(name, text, entry.cksum)) is not None:
            return Complaint(key, wrong)
        await self._metadata(name, text, has_changed)
        await self._advisories(name, text, has_changed)
        return None

    async def _archive(self, name: PackageName, version: VersionText, cksum: str) -> str | None:
        """Copy an archive unless the mirror has it. Returns what is wrong with it, or None."""
        key = archive_key(name, version)
        info = await self.mirror.head(key)
        is_held = info is not None and info.digest == cksum
        if is_held and (not self.deep or await digest_of(self.mirror, key) == cksum):
            self.copied.kept += 1
            return None
        path = self.spool / uuid4().hex
        try:
            fetched = await self.origin.archive(name, version, path)
            if fetched is None:
                return "the origin has no such archive"
            if fetched.digest != cksum:
                return f"its SHA-256 is {fetched.digest}, not {cksum}"
            await self.mirror.put_file(key, path, content_type=ARCHIVE_TYPE, digest=cksum)
        finally:
            path.unlink(missing_ok=True)
        self._count(fetched.size_bytes)
        return None

    async def _metadata(self, name: PackageName, version: VersionText, has_changed: bool) -> None:
        key = metadata_key(name, version)
        held = await self.mirror.head(key)
        if held is None or has_changed or self.deep:
            body = await self.origin.metadata(name, version, held.digest if held is not None else None)
            await self._document(key, body if isinstance(body, bytes) else None)

    async def _advisories(self, name: PackageName, version: VersionText, has_changed: bool) -> None:
        """Copy the list of a version that has or had an advisory. Any other version has no such file."""
        if has_changed or self.deep:
            held = await self.mirror.head(advisories_key(name, version))
            body = await self.origin.advisories(name, version, held.digest if held is not None else None)
            if isinstance(body, bytes) and not body.endswith(NO_ADVISORIES):
                await self._document(advisories_key(name, version), body)

    async def _page(self, name: PackageName) -> bytes | None:
        """The package's page, if the origin's differs from the mirror's."""
        held = await self.mirror.head(package_key(name))
        body = await self.origin.page(name, held.digest if held is not None else None)
        return body if isinstance(body, bytes) else None

    async def _document(self, key: str, body: bytes | None) -> None:
        """Put a document, if there is one to put."""
        if body is not None:
            await self.put_document(key, body, JSON_TYPE)

    async def _index_file(self, name: PackageName, lines: Mapping[str, bytes]) -> None:
        """Put the index file of these lines; without any, remove index file and page."""
        if not lines:
            await self._delete(index_key(name))
            await self._delete(package_key(name))
            return
        body = join_lines({version: lines[version] for version in sort_ascending(lines)})
        await self.put_document(index_key(name), body, NDJSON_TYPE)

    async def put_document(self, key: str, body: bytes, content_type: str) -> None:
        """Put a file from memory, unless the mirror has the same bytes."""
        digest, held = hashlib.sha256(body).hexdigest(), await self.mirror.head(key)
        if held is None or held.digest != digest:
            await self.mirror.put(key, body, content_type=content_type, digest=digest)
            self._count(len(body))

    async def _delete(self, key: str) -> None:
        if await self.mirror.head(key) is not None:
            await self.mirror.delete(key)
            self.copied.removed += 1

    def _count(self, size_bytes: int) -> None:
        self.copied.files += 1
        self.copied.size_bytes += size_bytes


class _Version(msgspec.Struct, frozen=True):
    version: str


def parse_lines(body: bytes) -> dict[str, bytes]:
    """The lines of an index file by version. Raises msgspec.MsgspecError for a line that names none.

    So does a second line of a version: clients might believe either of them.
    """
    found: dict[str, bytes] = {}
    for line in split_lines(body):
        version = decode_foreign(line, _Version).version
        if version in found:
            raise msgspec.ValidationError(f"it has two lines of {version}")
        found[version] = line
    return found


def wrong_signature(entry: IndexEntry, config: IndexConfig) -> str | None:
    """What is wrong with a line's signature; None if it is right, or if there is none or no key at all."""
    if isinstance(entry.signature, msgspec.UnsetType) or isinstance(config.signing, msgspec.UnsetType):
        return None
    keys = {key.id: key.ed25519_pub for key in config.signing.public_keys}
    if entry.signature.key_id not in keys:
        return f"config.json has no key {entry.signature.key_id!r}"
    try:
        public, signature = b64decode(keys[entry.signature.key_id]), b64decode(entry.signature.ed25519_sig)
        is_right = verify(public, signature, name=entry.name, version=entry.version, sha256=entry.cksum)
    except ValueError as error:
        return str(error)
    return None if is_right else f"it is not of the key {entry.signature.key_id!r} over this checksum"
