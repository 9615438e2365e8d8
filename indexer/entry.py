"""Index entry files: rows to NDJSON, one line a version (contract, 3.5)."""

from __future__ import annotations

from base64 import b64encode

import msgspec
from msgspec import UNSET, UnsetType

from indexer.manifest_fields import text_field
from indexer.rows import AdvisoryRow, PackageRow, SignatureRow, VersionRow
from shared.errors import DatabaseCorrupt
from shared.timestamps import render_timestamp
from shared.versions import sort_ascending

ADVISORY_KINDS = frozenset({"broken", "security", "deprecated"})
ADVISORY_SEVERITIES = frozenset({"low", "medium", "high", "critical"})


class IndexSignature(msgspec.Struct, frozen=True, kw_only=True):
    """Signature of one version (contract, 3.9)."""

    kind: str
    key_id: str
    ed25519_sig: str


class IndexAdvisory(msgspec.Struct, frozen=True, kw_only=True):
    """One advisory in force; never has withdrawn_at_utc."""

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


def render_index_file(package: PackageRow) -> bytes:
    """The index file of a package: versions in ascending SemVer order, each line ended by LF.

    Raises DatabaseCorrupt when a stored signature or advisory cannot be rendered.
    """
    by_version: dict[str, VersionRow] = {row.version: row for row in package.versions}
    lines = [_entry(package.name, by_version[version]) for version in sort_ascending(by_version)]
    return b"".join(msgspec.json.encode(line) + b"\n" for line in lines)


def _entry(name: str, row: VersionRow) -> IndexEntry:
    return IndexEntry(
        name=name,
        version=row.version,
        cksum=row.cksum,
        yanked=row.yanked,
        description=text_field(row.manifest, "description"),
        docs=text_field(row.manifest, "docs"),
        signature=_signature(row.signature) if row.signature else UNSET,
        advisories=tuple(_advisory(name, row.version, advisory) for advisory in row.advisories) or UNSET,
    )


def _signature(row: SignatureRow) -> IndexSignature:
    key_id = (row.key_id or "").strip()
    if row.kind.strip() != "ed25519" or not key_id or not row.signature:
        raise DatabaseCorrupt("stored signature is corrupt")
    return IndexSignature(kind="ed25519", key_id=key_id, ed25519_sig=b64encode(row.signature).decode())


def _advisory(name: str, version: str, row: AdvisoryRow) -> IndexAdvisory:
    if row.kind not in ADVISORY_KINDS or row.severity not in ADVISORY_SEVERITIES:
        raise DatabaseCorrupt("stored advisory is corrupt")
    return IndexAdvisory(
        id=str(row.id),
        package=name,
        version=version,
        kind=row.kind,
        severity=row.severity,
        summary=row.summary,
        url=row.url or UNSET,
        details=row.details or UNSET,
        created_at_utc=render_timestamp(row.created_at),
    )
