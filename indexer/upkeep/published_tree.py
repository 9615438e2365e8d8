"""Reads packages and versions back from the files of a published tree.

Index lines have versions, checksums, yanks, signatures and advisories in force; package pages have owners and
publication times; archives have manifests; metadata documents have scale evidence. The rules of publishing
are not applied, because everything was published before.
"""

from __future__ import annotations

import json
import tarfile
import tempfile
from base64 import b64decode
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import msgspec
from msgspec import UNSET, UnsetType

from indexer.entry import IndexEntry, split_lines
from indexer.upkeep.fetch import fetch
from indexer.upkeep.restoration import TreePackage
from indexer.upkeep.tree_keys import DOCUMENTS, place_of
from shared.blobs import archive_key, index_key, metadata_key, package_key
from shared.manifest import FILE_NAME
from shared.names import PackageName
from shared.package_documents import PackagePage
from shared.provenance import Provenance
from shared.storage.interface import Found, Storage
from shared.versions import VersionText

MAX_MANIFEST_BYTES: Final = 16 << 20


class Document(msgspec.Struct, frozen=True):
    """The fields that a metadata document adds to an index line. package: the known keys of the manifest."""

    package: dict[str, Any]
    scale_classes_supported: tuple[str, ...] = ()
    scale_tested: bool = False
    scale_test_evidence_ref: str | None = None
    published_by: Provenance | None = None


@dataclass(frozen=True, slots=True)
class Release:
    """A version as the tree has it. values: for its row. remark: what could not be read.

    provenance: the build that published it, if one did.
    """

    line: IndexEntry
    values: dict[str, Any]
    archived_at: datetime
    remark: str | None
    provenance: Provenance | None


async def names_in(storage: Storage) -> AsyncIterator[PackageName]:
    """The packages with an index file, in no order."""
    async for info in storage.scan("index/"):
        place = place_of(info.key)
        if place is not None and not info.is_removed and info.key not in DOCUMENTS and "." not in info.key:
            yield PackageName(place.package)


async def read_package(storage: Storage, name: PackageName) -> TreePackage | None:
    """A package as the tree has it; None if it has no index file.

    Raises msgspec.MsgspecError if a file is damaged.
    """
    found = await storage.get(index_key(name))
    if not isinstance(found, Found) or found.info.is_removed:
        return None
    lines = [msgspec.json.decode(line, type=IndexEntry) for line in split_lines(found.body)]
    page = await _page(storage, name, found.info.generation)
    return TreePackage(
        name=name,
        generation=found.info.generation,
        lines=tuple(lines),
        owners=None if page is None else page.owners,
        published_at={}
        if page is None
        else {each.version: datetime.fromisoformat(each.published_at) for each in page.versions},
    )


async def _page(storage: Storage, name: PackageName, generation: int) -> PackagePage | None:
    """The page of a package; None if it is older than the index file.

    Older releases put index files without pages.
    """
    found = await storage.get(package_key(name))
    if not isinstance(found, Found) or found.info.generation < generation:
        return None
    return msgspec.json.decode(found.body, type=PackagePage)


async def read_release(stores: Sequence[Storage], line: IndexEntry) -> Release:
    """A version from its line, its metadata document, and its archive in the first store."""
    name, version = PackageName(line.name), VersionText(line.version)
    document = await _document(stores, metadata_key(name, version))
    manifest, archived_at, remark = await _manifest(stores[0], line, archive_key(name, version))
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
    return Release(line, values, archived_at, remark, None if document is None else document.published_by)


async def _document(stores: Sequence[Storage], key: str) -> Document | None:
    """The first readable metadata document among the stores."""
    for storage in stores:
        found = await storage.get(key)
        if isinstance(found, Found):
            with suppress(msgspec.MsgspecError):
                return msgspec.json.decode(found.body, type=Document)
    return None


async def _manifest(
    storage: Storage, line: IndexEntry, key: str
) -> tuple[dict[str, Any] | None, datetime, str | None]:
    """The manifest in the archive, the archive's time, and what is wrong with it."""
    info = await storage.head(key)
    if info is None:
        return None, datetime.now(UTC), "its archive is missing; the manifest is the tree's"
    with tempfile.TemporaryDirectory(prefix="x07-rebuild-") as directory:
        fetched = await fetch(storage, key, Path(directory) / "archive")
        if fetched is None or fetched.digest != line.cksum:
            return None, info.modified_at, "its archive has a wrong checksum; the manifest is the tree's"
        manifest = read_manifest(fetched.path)
    wrong = None if manifest is not None else "its archive has no readable manifest"
    return manifest, info.modified_at, wrong


def read_manifest(path: Path) -> dict[str, Any] | None:
    """Read the manifest of an archive, without applying the present rules.

    None if there is none that can be stored.
    """
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
    """False for text that jsonb cannot store: NUL, and lone surrogates."""
    try:
        return "\\u0000" not in json.dumps(manifest) and bool(
            json.dumps(manifest, ensure_ascii=False).encode()
        )
    except UnicodeEncodeError:
        return False


def _known_of(line: IndexEntry) -> dict[str, Any]:
    """The manifest's fields that an index line repeats."""
    texts = {"name": line.name, "version": line.version, "description": line.description, "docs": line.docs}
    return {name: text for name, text in texts.items() if text is not UNSET}
