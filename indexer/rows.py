"""Rows as plain values, the input of rendering."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, cast
from uuid import UUID

from shared.blobs import staging_key
from shared.manifest import stored_array, stored_manifest
from shared.names import PackageName
from shared.provenance import Provenance
from shared.strict_json import parse_stored_json
from shared.versions import VersionText


@dataclass(frozen=True, slots=True)
class AdvisoryRow:
    """One advisory. details: blank if there are none. withdrawn_at: None while it is in force."""

    id: UUID
    kind: str
    severity: str
    summary: str
    details: str
    url: str | None
    created_at: datetime
    withdrawn_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class SignatureRow:
    """The stored signature of a version. Rendering checks it."""

    kind: str
    key_id: str | None
    signature: bytes | None


@dataclass(frozen=True, slots=True)
class VersionRow:
    """One version with everything that readers see of it.

    cksum: SHA-256 of the archive, 64 hex digits. manifest_json: as uploaded, as Postgres writes JSON.
    advisories: those in force, oldest first. ever_advised: all, withdrawn ones included, newest first.
    published_at: UTC. staged: the archive is still in staging. upload_id: of the staged archive; None if an
    older release staged it. metadata_digest: of the document that was put last, if any.
    line_digest: SHA-256, 32 bytes, of the line that was last handed to the transparency log, if any.
    provenance: the build that published it, None for a person.
    memo: what is known of this row as long as the object is remembered, by kind.
    """

    version: VersionText
    cksum: str
    yanked: bool
    manifest_json: str
    signature: SignatureRow | None = None
    advisories: tuple[AdvisoryRow, ...] = ()
    ever_advised: tuple[AdvisoryRow, ...] = ()
    scale_classes_supported: tuple[str, ...] = ()
    scale_tested: bool = False
    scale_test_evidence_ref: str | None = None
    published_at: datetime = field(kw_only=True)
    staged: bool = False
    upload_id: str | None = None
    metadata_digest: str | None = None
    line_digest: bytes | None = None
    provenance: Provenance | None = None
    memo: dict[str, Any] = field(default_factory=dict, init=False, compare=False, repr=False)

    @property
    def staging_key(self) -> str:
        """The key of the archive in staging."""
        return staging_key(self.cksum, self.upload_id)

    @property
    def manifest(self) -> Mapping[str, Any]:
        """The manifest, parsed anew; empty if it is not an object."""
        return stored_manifest(parse_stored_json(self.manifest_json))

    @property
    def array(self) -> Mapping[str, Any] | None:
        """The fields by name, if the manifest is an array of them."""
        return stored_array(parse_stored_json(self.manifest_json))

    def once(self, kind: str, render: Callable[[], bytes]) -> bytes:
        """Bytes of one kind that depend on nothing but this row; they are rendered once."""
        if (rendered := self.memo.get(kind)) is None:
            rendered = self.memo[kind] = render()
        return cast(bytes, rendered)


@dataclass(frozen=True, slots=True)
class RemovedRow:
    """A removed version, whose files publication deletes. cksum: of its archive.

    line_digest: SHA-256, 32 bytes, of the line that was last handed to the transparency log, if any.
    """

    version: VersionText
    cksum: str
    line_digest: bytes | None = None


@dataclass(frozen=True, slots=True)
class PackageRow:
    """One package and its versions, read in one snapshot.

    generation: of index_state. owners: handles, in byte order.
    """

    id: UUID
    name: PackageName
    latest_version: VersionText | None
    is_official: bool
    generation: int
    versions: tuple[VersionRow, ...]
    removed: tuple[RemovedRow, ...] = ()
    owners: tuple[str, ...] = ()

    @property
    def latest(self) -> VersionRow | None:
        """The row of latest_version, or None."""
        return next((row for row in self.versions if row.version == self.latest_version), None)


@dataclass(frozen=True, slots=True)
class PackageState:
    """A package and what was published of it.

    catalog_line: as it was published last, if ever. dirty_s: seconds that the oldest unpublished change has
    waited; None if nothing waits or the time was not recorded. is_locked: the transaction that read the state
    has locked the package.
    """

    package: PackageRow
    published_generation: int
    catalog_line: bytes | None
    dirty_s: float | None
    is_locked: bool = False

    @property
    def is_clean(self) -> bool:
        """True if every change is published."""
        return self.published_generation >= self.package.generation

    def is_same_as(self, other: PackageState) -> bool:
        """True if nothing was changed or published between these two states."""
        mine = (self.package.id, self.package.generation, self.published_generation)
        return mine == (other.package.id, other.package.generation, other.published_generation)


@dataclass(frozen=True, slots=True)
class LoggedEntry:
    """An entry of the log, as read from storage. digest: SHA-256 of its line, 32 bytes."""

    name: str
    version: str
    digest: bytes
    entry: bytes


@dataclass(frozen=True, slots=True)
class ChangedLine:
    """A line to log. digest: SHA-256 of the line, 32 bytes. entry: the bytes of its log entry."""

    name: PackageName
    version: str
    digest: bytes
    entry: bytes
