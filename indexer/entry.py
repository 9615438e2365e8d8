"""Renders index files: NDJSON with one line per version (contract, 3.5).

A new column also touches indexer/rows.py and indexer/queries/packages.py.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping

import msgspec
from msgspec import UNSET, UnsetType

from indexer.manifest_fields import text_field
from indexer.rows import AdvisoryRow, PackageRow, RemovedRow, SignatureRow, VersionRow
from shared.advisory import read_stored
from shared.errors import DatabaseCorrupt
from shared.names import PackageName
from shared.timestamps import render_timestamp
from shared.versions import sort_ascending


class IndexSignature(msgspec.Struct, frozen=True, kw_only=True):
    """Signature of one version (contract, 3.9)."""

    kind: str
    key_id: str
    ed25519_sig: str


class IndexAdvisory(msgspec.Struct, frozen=True, kw_only=True):
    """One advisory that is in force, so it has no withdrawn_at_utc."""

    schema_version: str = "x07.pkg.advisory@0.1.0"
    id: str
    package: str
    version: str
    kind: str
    severity: str
    summary: str
    url: str | UnsetType = UNSET
    details: str | UnsetType = UNSET
    created_at_utc: str


class IndexEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One line of an index file. Absent values are left out, never null."""

    schema_version: str = "x07.index-entry@0.1.0"
    name: str
    version: str
    cksum: str
    yanked: bool
    description: str | UnsetType = UNSET
    docs: str | UnsetType = UNSET
    signature: IndexSignature | UnsetType = UNSET
    advisories: tuple[IndexAdvisory, ...] | UnsetType = UNSET


class Tombstone(msgspec.Struct, frozen=True, kw_only=True):
    """The log's line for a removed version; index files have no such line."""

    schema_version: str = "x07.index-tombstone@0.1.0"
    name: str
    version: str
    cksum: str
    removed: bool = True


Lines = Mapping[str, bytes]
"""The line of each version, without its LF, in ascending SemVer order."""


def render_lines(package: PackageRow) -> Lines:
    """The lines of a package. Raises DatabaseCorrupt when a signature or advisory cannot be rendered."""
    by_version: dict[str, VersionRow] = {row.version: row for row in package.versions}
    return {version: render_line(package.name, by_version[version]) for version in sort_ascending(by_version)}


def join_lines(lines: Lines) -> bytes:
    """The index file: these lines, each followed by LF."""
    return b"".join(line + b"\n" for line in lines.values())


def split_lines(body: bytes) -> list[bytes]:
    """The lines of an index file, each without its LF. Blank lines are skipped."""
    return [line for line in body.split(b"\n") if line.strip()]


def render_index_file(package: PackageRow) -> bytes:
    """The index file of a package. Raises DatabaseCorrupt as render_lines does."""
    return join_lines(render_lines(package))


def render_line(name: PackageName, row: VersionRow) -> bytes:
    """The line of one version, without its LF. Raises DatabaseCorrupt as render_lines does."""
    return row.once("line", lambda: msgspec.json.encode(_entry(name, row)))


def render_tombstone(name: PackageName, row: RemovedRow) -> bytes:
    """The line that the transparency log has of a removed version."""
    return msgspec.json.encode(Tombstone(name=name, version=row.version, cksum=row.cksum))


def _entry(name: str, row: VersionRow) -> IndexEntry:
    manifest = row.manifest
    return IndexEntry(
        name=name,
        version=row.version,
        cksum=row.cksum,
        yanked=row.yanked,
        description=text_field(manifest, "description"),
        docs=text_field(manifest, "docs"),
        signature=_signature(row.signature) if row.signature else UNSET,
        advisories=tuple(_advisory(name, row.version, advisory) for advisory in row.advisories) or UNSET,
    )


def _signature(row: SignatureRow) -> IndexSignature:
    key_id = (row.key_id or "").strip()
    if row.kind.strip() != "ed25519" or not key_id or not row.signature:
        raise DatabaseCorrupt("stored signature is corrupt")
    return IndexSignature(kind="ed25519", key_id=key_id, ed25519_sig=b64encode(row.signature).decode())


def _advisory(name: str, version: str, row: AdvisoryRow) -> IndexAdvisory:
    kind, severity = read_stored(row.kind, row.severity)
    return IndexAdvisory(
        id=str(row.id),
        package=name,
        version=version,
        kind=kind,
        severity=severity,
        summary=row.summary,
        url=row.url or UNSET,
        details=row.details or UNSET,
        created_at_utc=render_timestamp(row.created_at),
    )
