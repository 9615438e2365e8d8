"""What the pages show of a package and its versions, from rows. Texts are cut as in listings. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from markupsafe import Markup
from msgspec import UnsetType

from indexer.manifest_fields import listed_facets, listed_text
from indexer.pages.docs_text import render_docs
from indexer.rows import AdvisoryRow, PackageRow, SignatureRow, VersionRow
from shared.manifest_limits import MAX_DESCRIPTION_BYTES, MAX_DOCS_BYTES, MAX_ENTRIES, MAX_TEXT_BYTES
from shared.names import PackageName
from shared.pages.rendering import web_address
from shared.provenance import Provenance
from shared.requires_packages import RequiredPackage, required_packages
from shared.text import listed
from shared.versions import VersionText, read_version, sort_ascending


@dataclass(frozen=True, slots=True)
class AdvisoryView:
    """An advisory in force. url: of a web page, if it has one."""

    id: str
    kind: str
    severity: str
    summary: str
    details: str
    url: str | None
    created_at: datetime


@dataclass(frozen=True, slots=True)
class VersionView:
    """A version. docs: HTML. advisories: in force, newest first. provenance: the build that published it."""

    version: VersionText
    published_at: datetime
    yanked: bool
    cksum: str
    description: str | None
    license: str | None
    docs: Markup
    facets: tuple[str, ...]
    modules: tuple[str, ...]
    requires: tuple[RequiredPackage, ...]
    advisories: tuple[AdvisoryView, ...]
    signature: SignatureRow | None
    provenance: Provenance | None


@dataclass(frozen=True, slots=True)
class Release:
    """A version in the table of its package. size_bytes: of its archive, None if unknown."""

    version: VersionText
    published_at: datetime
    yanked: bool
    advisories: tuple[AdvisoryRow, ...]
    size_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class PackageView:
    """A package. latest: its latest version; docs, advisories and so on are those of it.

    versions: newest first by SemVer.
    """

    name: PackageName
    is_official: bool
    owners: tuple[str, ...]
    versions: tuple[Release, ...]
    latest: VersionText | None
    description: str | None
    license: str | None
    docs: Markup
    facets: tuple[str, ...]
    requires: tuple[RequiredPackage, ...]
    advisories: tuple[AdvisoryView, ...]


def package_view(package: PackageRow, sizes: Mapping[VersionText, int]) -> PackageView:
    """What the page of a package shows. sizes: of archives in bytes, as far as they are known."""
    latest = None if package.latest is None else version_view(package.name, package.latest)
    return PackageView(
        name=package.name,
        is_official=package.is_official,
        owners=package.owners,
        versions=tuple(replace(each, size_bytes=sizes.get(each.version)) for each in releases_of(package)),
        latest=package.latest_version,
        description=latest.description if latest else None,
        license=latest.license if latest else None,
        docs=latest.docs if latest else Markup(),
        facets=latest.facets if latest else (),
        requires=latest.requires if latest else (),
        advisories=latest.advisories if latest else (),
    )


def releases_of(package: PackageRow) -> tuple[Release, ...]:
    """The versions that have pages, newest first by SemVer. One that does not parse has none."""
    rows: dict[str, VersionRow] = {row.version: row for row in package.versions if read_version(row.version)}
    newest_first = (rows[version] for version in reversed(sort_ascending(rows)))
    return tuple(Release(row.version, row.published_at, row.yanked, row.advisories) for row in newest_first)


def description_of(row: VersionRow) -> str | None:
    """The description of a version as listings have it, if it has one."""
    return _text(row.manifest, "description", MAX_DESCRIPTION_BYTES)


def version_view(name: PackageName, row: VersionRow) -> VersionView:
    """What the page of a version shows. Its manifest may be older than today's publish rules."""
    manifest = row.manifest
    meta = manifest.get("meta")
    return VersionView(
        version=row.version,
        published_at=row.published_at,
        yanked=row.yanked,
        cksum=row.cksum,
        description=description_of(row),
        license=_text(manifest, "license", MAX_TEXT_BYTES),
        docs=render_docs(_text(manifest, "docs", MAX_DOCS_BYTES) or ""),
        facets=listed_facets(name, meta),
        modules=_modules(manifest.get("modules")),
        requires=required_packages(meta),
        advisories=tuple(map(_advisory, reversed(row.advisories))),
        signature=row.signature,
        provenance=row.provenance,
    )


def _text(manifest: Any, key: str, max_bytes: int) -> str | None:
    found = listed_text(manifest, key, max_bytes)
    return None if isinstance(found, UnsetType) or not found.strip() else found


def _modules(value: Any) -> tuple[str, ...]:
    found = value if isinstance(value, list) else []
    return tuple(listed(each, MAX_TEXT_BYTES) for each in found[:MAX_ENTRIES] if isinstance(each, str))


def _advisory(row: AdvisoryRow) -> AdvisoryView:
    return AdvisoryView(
        id=str(row.id),
        kind=row.kind,
        severity=row.severity,
        summary=listed(row.summary, MAX_TEXT_BYTES),
        details=listed(row.details, MAX_DOCS_BYTES),
        url=web_address(row.url),
        created_at=row.created_at,
    )
