"""The JSON documents that readers get of a package: its page, its owners, the advisories of a version.

A worker renders them (indexer/package_page.py, indexer/advisory_list.py); both tiers serve the stored bytes.
"""

from __future__ import annotations

from datetime import datetime
from typing import Protocol
from uuid import UUID

import msgspec
from msgspec import UNSET, UnsetType

from shared.advisory import AdvisoryKind, AdvisorySeverity, read_stored
from shared.provenance import Provenance
from shared.timestamps import render_timestamp


class PageVersion(msgspec.Struct, frozen=True, kw_only=True):
    """One version, yanked ones included. published_by: the build that published it, absent for a person."""

    version: str
    cksum: str
    yanked: bool
    published_at: str
    published_by: Provenance | UnsetType = UNSET


class PackagePage(msgspec.Struct, frozen=True, kw_only=True):
    """A package. owners: handles, in byte order. versions: newest first by SemVer, unparsable ones first.

    facets: of the latest version; absent without any.
    """

    ok: bool = True
    name: str
    latest_version: str | None
    is_official: bool
    owners: tuple[str, ...]
    versions: tuple[PageVersion, ...]
    facets: tuple[str, ...] | UnsetType = UNSET


class OwnerList(msgspec.Struct, frozen=True, kw_only=True):
    """The owners of a package: handles in byte order. It is cut out of the package's page."""

    ok: bool = True
    name: str
    is_official: bool
    owners: tuple[str, ...]


class Advisory(msgspec.Struct, frozen=True, kw_only=True):
    """A warning about a version. withdrawn_at_utc: absent while it is in force."""

    schema_version: str = "x07.pkg.advisory@0.1.0"
    id: str
    package: str
    version: str
    kind: AdvisoryKind
    severity: AdvisorySeverity
    summary: str
    url: str | UnsetType = UNSET
    details: str | UnsetType = UNSET
    created_at_utc: str
    withdrawn_at_utc: str | UnsetType = UNSET


class AdvisoryList(msgspec.Struct, frozen=True, kw_only=True):
    """The advisories of a version, withdrawn ones included, newest first."""

    ok: bool = True
    name: str
    version: str
    advisories: tuple[Advisory, ...]


class AdvisoryColumns(Protocol):
    """The columns of a stored advisory that readers see. details: blank when there are none."""

    @property
    def id(self) -> UUID: ...
    @property
    def kind(self) -> str: ...
    @property
    def severity(self) -> str: ...
    @property
    def summary(self) -> str: ...
    @property
    def details(self) -> str: ...
    @property
    def url(self) -> str | None: ...
    @property
    def created_at(self) -> datetime: ...
    @property
    def withdrawn_at(self) -> datetime | None: ...


def advisory_of(name: str, version: str, row: AdvisoryColumns) -> Advisory:
    """The advisory as readers see it. Raises DatabaseCorrupt."""
    kind, severity = read_stored(row.kind, row.severity)
    return Advisory(
        id=str(row.id),
        package=name,
        version=version,
        kind=kind,
        severity=severity,
        summary=row.summary,
        url=row.url or UNSET,
        details=row.details or UNSET,
        created_at_utc=render_timestamp(row.created_at),
        withdrawn_at_utc=render_timestamp(row.withdrawn_at) if row.withdrawn_at else UNSET,
    )
