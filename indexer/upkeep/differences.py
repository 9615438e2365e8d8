"""The kinds of differences between rows and storage, and the files that rows require. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum

from indexer.advisory_list import render_advisory_list
from indexer.catalog import public_catalog_line
from indexer.encodings import Chunks
from indexer.entry import render_index_file
from indexer.package_files import metadata_body
from indexer.package_page import render_package_page
from indexer.rows import PackageRow, PackageState, VersionRow
from shared.blobs import CATALOG_KEY, advisories_key, archive_key, index_key, metadata_key, package_key
from shared.encodings import SUFFIXES, Coding
from shared.errors import DatabaseCorrupt
from shared.names import PackageName
from shared.signing import KIND, verify
from shared.text import trim

# A change that waits longer than this has no worker that is publishing it.
LATE_S = 60.0


class Kind(StrEnum):
    """The kind of a difference."""

    MISSING = "missing"
    EXTRA = "extra"
    WRONG_CHECKSUM = "wrong_checksum"
    UNREADABLE = "unreadable"
    STALE = "stale"
    UNPUBLISHED = "unpublished"
    WRONG_SIGNATURE = "wrong_signature"
    CORRUPT_ROW = "corrupt_row"
    ORPHAN_STAGING = "orphan_staging"
    WRONG_LOG = "wrong_log"
    NOT_LOGGED = "not_logged"
    UNLIKE_LOG = "unlike_log"
    HIDDEN = "hidden"


@dataclass(frozen=True, slots=True)
class Difference:
    """One difference between rows and storage. key: of the blob concerned. detail: text for people."""

    kind: Kind
    key: str
    detail: str
    package: str | None = None
    version: str | None = None


@dataclass(frozen=True, slots=True)
class ExpectedFile:
    """A blob that the rows require.

    digest: SHA-256 of its bytes. size_bytes: None if the rows do not have it. chunks: reads the body of a
    file that has compressed variants, in these codings.
    """

    key: str
    digest: str
    size_bytes: int | None = None
    package: str | None = None
    version: str | None = None
    chunks: Chunks | None = None
    codings: tuple[Coding, ...] = tuple(SUFFIXES)
    is_archive: bool = False

    def difference(self, kind: Kind, detail: str, key: str | None = None) -> Difference:
        """A difference of this file or of one of its variants."""
        return Difference(kind, key or self.key, detail, self.package, self.version)


def expected_archive(name: PackageName, row: VersionRow) -> ExpectedFile:
    """The published archive of a version."""
    return ExpectedFile(
        archive_key(name, row.version), row.cksum, package=name, version=row.version, is_archive=True
    )


def rendered_files(package: PackageRow) -> Iterator[ExpectedFile]:
    """The index file, the package page, the metadata documents and the lists of advisories.

    Raises DatabaseCorrupt as rendering does.
    """
    for row in package.versions:
        body = metadata_body(package, row)
        digest = hashlib.sha256(body).hexdigest()
        key = metadata_key(package.name, row.version)
        yield ExpectedFile(key, digest, len(body), package.name, row.version)
        if row.ever_advised:
            body = render_advisory_list(package, row)
            digest = hashlib.sha256(body).hexdigest()
            key = advisories_key(package.name, row.version)
            yield ExpectedFile(key, digest, len(body), package.name, row.version)
    if package.versions or package.removed:
        body = render_package_page(package)
        digest = hashlib.sha256(body).hexdigest()
        yield ExpectedFile(package_key(package.name), digest, len(body), package.name)
    if package.versions:
        body = render_index_file(package)
        digest = hashlib.sha256(body).hexdigest()
        yield ExpectedFile(index_key(package.name), digest, len(body), package.name, chunks=lambda: (body,))


def row_differences(
    state: PackageState, public_keys: Mapping[str, bytes], late_s: float, private: Collection[str] = ()
) -> Iterator[Difference]:
    """Differences that the rows alone show: late changes, a stale catalog line, invalid signatures.

    public_keys: 32 raw bytes by id, as config.json publishes them. Without any, no signature is checked.
    private: patterns of names.
    """
    package = state.package
    key = index_key(package.name)
    if not state.is_clean:
        if state.dirty_s is None or state.dirty_s >= late_s:
            since = "from the start" if state.dirty_s is None else f"for {state.dirty_s:.0f} s"
            yield Difference(Kind.UNPUBLISHED, key, f"changes wait {since}", package.name)
    elif state.catalog_line != public_catalog_line(package, private):
        yield Difference(Kind.STALE, CATALOG_KEY, "the package's line differs from its rows", package.name)
    for row in package.versions:
        if (wrong := _wrong_signature(package.name, row, public_keys)) is not None:
            yield Difference(Kind.WRONG_SIGNATURE, key, wrong, package.name, row.version)


def _wrong_signature(name: PackageName, row: VersionRow, public_keys: Mapping[str, bytes]) -> str | None:
    """What is wrong with a version's signature; None if it verifies or cannot be checked."""
    if row.signature is None or not public_keys or trim(row.signature.kind) != KIND:
        return None
    key_id = trim(row.signature.key_id or "")
    if key_id not in public_keys:
        return f"config.json has no public key {key_id!r}"
    signature = row.signature.signature or b""
    if not verify(public_keys[key_id], signature, name=name, version=row.version, sha256=row.cksum):
        return f"it is not a signature of this checksum by the key {key_id!r}"
    return None


def corrupt_row(package: PackageRow, error: DatabaseCorrupt) -> Difference:
    """The difference of a package whose rows cannot be rendered."""
    return Difference(Kind.CORRUPT_ROW, index_key(package.name), error.message, package.name)
