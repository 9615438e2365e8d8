"""Rows from the published tree, for a registry whose database is lost or older than its storage.

Index lines give packages, versions, checksums, yanks, signatures and advisories in force; archives give
manifests; metadata documents give what was measured of scale. Not in the tree, and so lost: owners,
accounts, tokens, sessions, audit events, withdrawn advisories, who published what. The time of a version
is that of its archive. Nothing is checked by the rules of publishing: it was published.

Rows that are there already win over the tree; where the two differ it is told. May be stopped and
started again: a package is one transaction.
"""

from __future__ import annotations

import json
import tarfile
import tempfile
from base64 import b64decode
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import msgspec
from msgspec import UNSET, UnsetType

from indexer import queries, queries_rebuild, queries_tree
from indexer.entry import IndexEntry
from indexer.fetching import fetch
from indexer.places import DOCUMENTS, place_of
from indexer.publication import Parts
from indexer.walk import Progress
from shared.blobs import archive_key, metadata_key
from shared.errors import RegistryError
from shared.manifest import FILE_NAME
from shared.names import PackageName
from shared.storage.interface import Found
from shared.versions import VersionText, greatest

MAX_MANIFEST_BYTES: Final = 16 << 20
BY: Final = "rebuilt-from-tree"


class Document(msgspec.Struct, frozen=True):
    """What a metadata document adds to an index line. package: the manifest's known keys."""

    package: dict[str, Any]
    scale_classes_supported: tuple[str, ...] = ()
    scale_tested: bool = False
    scale_test_evidence_ref: str | None = None


@dataclass(frozen=True, slots=True)
class Remark:
    """What could not be put back as it was. detail: for people."""

    package: str
    version: str | None
    detail: str


@dataclass(frozen=True, slots=True)
class Release:
    """A version as the tree has it. remark: what is missing of it."""

    line: IndexEntry
    values: dict[str, Any]
    published_at: datetime
    remark: str | None


async def rebuild(parts: Parts, progress: Progress) -> AsyncIterator[Remark]:
    """Put back a row for everything that the tree lists. Raises StorageUnavailable, DatabaseUnavailable."""
    progress.begin("packages")
    async for info in parts.storage.scan("index/"):
        place = place_of(info.key)
        if place is None or info.key in DOCUMENTS or "." in info.key:
            continue
        try:
            for remark in await _rebuild_package(parts, PackageName(place.package), info.key):
                yield remark
        except (RegistryError, msgspec.MsgspecError) as error:
            yield Remark(place.package, None, f"nothing was put back: {error}")
        progress.advance()


async def _rebuild_package(parts: Parts, name: PackageName, key: str) -> list[Remark]:
    found = await parts.storage.get(key)
    if not isinstance(found, Found):
        return []
    lines = [msgspec.json.decode(line, type=IndexEntry) for line in found.body.splitlines() if line.strip()]
    async with parts.database.transaction() as tx:
        listed = [(line.name, line.version) for line in lines]
        known = await queries_tree.known_versions(tx, listed) | await queries_tree.removed_among(tx, listed)
    missing = [line for line in lines if (line.name, line.version) not in known]
    releases = [await _release(parts, line) for line in missing]
    async with parts.database.transaction() as tx:
        await queries_tree.lock_name(tx, name)
        publisher = await queries_rebuild.put_user(tx, BY)
        package_id = await queries_rebuild.put_package(tx, name, publisher)
        stored = await queries_rebuild.stored_versions(tx, package_id)
        added = [release for release in releases if release.line.version not in stored]
        for release in added:
            await queries_rebuild.add_version(tx, package_id, publisher, release.values, release.published_at)
            await queries_rebuild.add_advisories(tx, package_id, _advisories(release.line))
        if added:
            versions = await queries_rebuild.stored_versions(tx, package_id)
            latest = greatest(version for version, row in versions.items() if not row.yanked)
            await queries_rebuild.set_latest_version(tx, package_id, latest)
            await queries.raise_generations(tx, [name])
    remarks = [
        Remark(name, release.line.version, release.remark) for release in added if release.remark is not None
    ]
    return remarks + [Remark(name, line.version, wrong) for line in lines if (wrong := _unlike(line, stored))]


def _unlike(line: IndexEntry, stored: dict[str, queries_rebuild.StoredVersion]) -> str | None:
    """How a row that was there differs from the tree; None when it does not, or was not there."""
    row = stored.get(line.version)
    if row is None:
        return None
    if row.cksum != line.cksum:
        return f"its row has the checksum {row.cksum}, the tree {line.cksum}; the row stays"
    if row.yanked != line.yanked:
        return f"its row says yanked: {row.yanked}, the tree {line.yanked}; the row stays".lower()
    return None


async def _release(parts: Parts, line: IndexEntry) -> Release:
    """All that the tree knows of a version: its line, its metadata document, its archive."""
    name, version = PackageName(line.name), VersionText(line.version)
    document = await _document(parts, metadata_key(name, version))
    manifest, published_at, remark = await _manifest(parts, line, archive_key(name, version))
    if manifest is None:
        manifest = _known_of(line) if document is None else document.package
    signature = None if isinstance(line.signature, UnsetType) else line.signature
    values = {
        "version": version,
        "cksum": line.cksum,
        "yanked": line.yanked,
        "manifest": manifest,
        "scale_classes_supported": [] if document is None else list(document.scale_classes_supported),
        "scale_tested": document is not None and document.scale_tested,
        "scale_test_evidence_ref": None if document is None else document.scale_test_evidence_ref,
        "signature_kind": None if signature is None else signature.kind,
        "signature_key_id": None if signature is None else signature.key_id,
        "signature_bytes": None if signature is None else b64decode(signature.ed25519_sig),
    }
    return Release(line, values, published_at, remark)


async def _document(parts: Parts, key: str) -> Document | None:
    found = await parts.storage.get(key)
    if not isinstance(found, Found):
        return None
    try:
        return msgspec.json.decode(found.body, type=Document)
    except msgspec.MsgspecError:
        return None


async def _manifest(
    parts: Parts, line: IndexEntry, key: str
) -> tuple[dict[str, Any] | None, datetime, str | None]:
    """The manifest in the archive, the archive's time, and what is wrong with it."""
    info = await parts.storage.head(key)
    if info is None:
        return None, datetime.now(UTC), "its archive is missing; the manifest is what the tree knows of it"
    with tempfile.TemporaryDirectory(prefix="x07-rebuild-") as directory:
        fetched = await fetch(parts.storage, key, Path(directory) / "archive")
        if fetched is None or fetched.digest != line.cksum:
            return None, info.modified_at, "its archive has not its checksum; the manifest is of the tree"
        manifest = read_manifest(fetched.path)
    wrong = None if manifest is not None else "its archive has no manifest that can be read"
    return manifest, info.modified_at, wrong


def read_manifest(path: Path) -> dict[str, Any] | None:
    """The manifest of an archive by no rule of today; None when there is none that can be stored."""
    try:
        with tarfile.open(path, "r:") as archive:
            for member in archive:
                if member.name.strip("/") == FILE_NAME and member.size <= MAX_MANIFEST_BYTES:
                    file = archive.extractfile(member)
                    value = json.loads(file.read()) if file is not None else None
                    return value if isinstance(value, dict) and _is_storable(value) else None
    except (tarfile.TarError, ValueError, RecursionError, EOFError):
        pass
    return None


def _is_storable(manifest: dict[str, Any]) -> bool:
    """False for text that jsonb does not take: NUL, and halves of surrogate pairs."""
    try:
        return "\\u0000" not in json.dumps(manifest) and bool(
            json.dumps(manifest, ensure_ascii=False).encode()
        )
    except UnicodeEncodeError:
        return False


def _known_of(line: IndexEntry) -> dict[str, Any]:
    """What an index line repeats of the manifest."""
    texts = {"name": line.name, "version": line.version, "description": line.description, "docs": line.docs}
    return {name: text for name, text in texts.items() if text is not UNSET}


def _advisories(line: IndexEntry) -> list[dict[str, Any]]:
    if isinstance(line.advisories, UnsetType):
        return []
    return [
        {
            "id": advisory.id,
            "version": line.version,
            "kind": advisory.kind,
            "severity": advisory.severity,
            "summary": advisory.summary,
            "details": "" if isinstance(advisory.details, UnsetType) else advisory.details,
            "url": None if isinstance(advisory.url, UnsetType) else advisory.url,
            "created_at": datetime.fromisoformat(advisory.created_at_utc),
        }
        for advisory in line.advisories
    ]
