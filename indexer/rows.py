"""Rows as rendering sees them: plain values, no database."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from shared.names import PackageName
from shared.versions import VersionText


@dataclass(frozen=True, slots=True)
class AdvisoryRow:
    """One advisory that was not withdrawn. details: blank when there are none."""

    id: UUID
    kind: str
    severity: str
    summary: str
    details: str
    url: str | None
    created_at: datetime


@dataclass(frozen=True, slots=True)
class SignatureRow:
    """The stored signature of a version; checked when it is rendered."""

    kind: str
    key_id: str | None
    signature: bytes | None


@dataclass(frozen=True, slots=True)
class VersionRow:
    """One version with all that readers see of it.

    cksum: SHA-256 of the archive, 64 hex digits. manifest: as uploaded. advisories: oldest first.
    staged: the archive still waits in staging. metadata_digest: of the document last put, if any.
    """

    version: VersionText
    cksum: str
    yanked: bool
    manifest: Mapping[str, Any]
    signature: SignatureRow | None = None
    advisories: tuple[AdvisoryRow, ...] = ()
    scale_classes_supported: tuple[str, ...] = ()
    scale_tested: bool = False
    scale_test_evidence_ref: str | None = None
    staged: bool = False
    metadata_digest: str | None = None


@dataclass(frozen=True, slots=True)
class RemovedRow:
    """A version that was removed: its files are to be deleted. cksum: of its archive."""

    version: VersionText
    cksum: str


@dataclass(frozen=True, slots=True)
class PackageRow:
    """One package and its versions, read in one snapshot. generation: of index_state."""

    id: UUID
    name: PackageName
    latest_version: VersionText | None
    is_official: bool
    generation: int
    versions: tuple[VersionRow, ...]
    removed: tuple[RemovedRow, ...] = ()

    @property
    def latest(self) -> VersionRow | None:
        """The row of latest_version; None when there is none."""
        return next((row for row in self.versions if row.version == self.latest_version), None)


@dataclass(frozen=True, slots=True)
class PackageState:
    """A package and what was published of it.

    catalog_line: as last published, if it ever was. dirty_s: how long the oldest change waits to be
    published, in seconds; None when none waits, or when nobody noted since when.
    """

    package: PackageRow
    published_generation: int
    catalog_line: bytes | None
    dirty_s: float | None

    @property
    def is_clean(self) -> bool:
        """True if every change is published."""
        return self.published_generation >= self.package.generation

    def is_same_as(self, other: PackageState) -> bool:
        """True if nothing was changed or published between the two."""
        mine = (self.package.id, self.package.generation, self.published_generation)
        return mine == (other.package.id, other.package.generation, other.published_generation)
