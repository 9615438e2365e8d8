"""Renders the files of one package from its rows. package_puts.py puts them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import structlog

from indexer.advisory_list import render_advisory_list
from indexer.catalog import is_official_in
from indexer.encodings import variant_keys
from indexer.entry import Lines, join_lines, render_lines
from indexer.fence import Rendered
from indexer.metadata import render_metadata
from indexer.package_page import render_package_page
from indexer.rows import PackageRow, PackageState, VersionRow
from shared.blobs import (
    ARCHIVE_TYPE,
    CORRUPT_METADATA,
    JSON_TYPE,
    NDJSON_TYPE,
    advisories_key,
    archive_key,
    index_key,
    metadata_key,
    package_key,
)
from shared.errors import MetadataCorrupt
from shared.names import PackageName
from shared.versions import VersionText

NO_BYTES_DIGEST = hashlib.sha256(b"").hexdigest()
REMOVED_FILES: Final = (
    (archive_key, ARCHIVE_TYPE),
    (metadata_key, JSON_TYPE),
    (advisories_key, JSON_TYPE),
)

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class PackageFiles:
    """The rendered files of a package. documents: metadata that differs from storage. page: of the package.

    advisory_lists: of the versions that have or had an advisory.

    lines: of the index file. Without any, the index file is empty (BlobInfo.is_removed).
    """

    state: PackageState
    lines: Lines
    index: Rendered
    page: Rendered
    documents: Mapping[VersionText, Rendered]
    advisory_lists: tuple[Rendered, ...]

    @property
    def package(self) -> PackageRow:
        """The rows that the files were rendered from."""
        return self.state.package

    @property
    def staged(self) -> list[VersionRow]:
        """Versions whose archives have to be promoted."""
        return [row for row in self.package.versions if row.staged]

    @property
    def digests(self) -> dict[VersionText, str | None]:
        """Digests of metadata by version, for all versions that something is put of."""
        kept: dict[VersionText, str | None] = {row.version: row.metadata_digest for row in self.staged}
        return kept | {version: document.digest for version, document in self.documents.items()}

    @property
    def removed(self) -> list[Rendered]:
        """Empty files that replace the files of removed versions."""
        name = self.package.name
        return [
            Rendered(key(name, row.version), b"", content_type, NO_BYTES_DIGEST)
            for row in self.package.removed
            for key, content_type in REMOVED_FILES
        ]

    @property
    def new_documents(self) -> list[Rendered]:
        """The metadata of versions that had none."""
        replaced = self._with_documents
        return [document for version, document in self.documents.items() if version not in replaced]

    @property
    def replaced_documents(self) -> list[Rendered]:
        """The metadata that differs from what was put before."""
        replaced = self._with_documents
        return [document for version, document in self.documents.items() if version in replaced]

    @property
    def _with_documents(self) -> set[VersionText]:
        return {row.version for row in self.package.versions if row.metadata_digest is not None}

    @property
    def replaced_keys(self) -> list[str]:
        """The keys of files that may exist already."""
        return [
            *replaced_keys_of(self.package.name),
            *(document.key for document in self.replaced_documents),
            *(advisories.key for advisories in self.advisory_lists),
            *(file.key for file in self.removed),
        ]

    @property
    def is_first(self) -> bool:
        """True if nothing of the package was published before, so that no file should be there."""
        is_plain = not self.advisory_lists and not self.package.removed
        return self.state.published_generation == 0 and is_plain

    @property
    def changed_keys(self) -> list[str]:
        """Every key whose file is put, without variants."""
        name = self.package.name
        return [
            self.index.key,
            self.page.key,
            *(advisories.key for advisories in self.advisory_lists),
            *(metadata_key(name, version) for version in self.digests),
            *(archive_key(name, row.version) for row in self.staged),
            *(file.key for file in self.removed),
        ]


def replaced_keys_of(name: PackageName) -> list[str]:
    """The keys of the files that every publication of a package replaces, if they exist."""
    return [index_key(name), *variant_keys(index_key(name)), package_key(name)]


def render_package_files(state: PackageState) -> PackageFiles:
    """Render the files of a package. Raises DatabaseCorrupt if a signature or advisory cannot be rendered."""
    lines = render_lines(state.package)
    index = _rendered(index_key(state.package.name), join_lines(lines), NDJSON_TYPE)
    return PackageFiles(
        state,
        lines,
        index,
        _rendered(package_key(state.package.name), render_package_page(state.package), JSON_TYPE),
        _changed_documents(state),
        _advisory_lists(state.package),
    )


def _changed_documents(state: PackageState) -> dict[VersionText, Rendered]:
    """The metadata documents that differ from those in storage."""
    changed, package = {}, state.package
    was_official = None if state.catalog_line is None else is_official_in(state.catalog_line)
    for row in package.versions:
        if was_official == package.is_official and _is_as_put(row):
            continue
        key = metadata_key(package.name, row.version)
        file = _rendered(key, metadata_body(package, row), JSON_TYPE)
        if file.digest != row.metadata_digest:
            changed[row.version] = file
    return changed


def _is_as_put(row: VersionRow) -> bool:
    """True if the document that was put last is still that of the row, so it need not be rendered.

    All that it shows of a row stays as it was published, except for the evidence of a scale test.
    """
    return row.metadata_digest is not None and not row.scale_tested


def _advisory_lists(package: PackageRow) -> tuple[Rendered, ...]:
    """The lists of the versions that have or had an advisory."""
    return tuple(
        _rendered(advisories_key(package.name, row.version), render_advisory_list(package, row), JSON_TYPE)
        for row in package.versions
        if row.ever_advised
    )


def _rendered(key: str, body: bytes, content_type: str) -> Rendered:
    return Rendered(key, body, content_type, hashlib.sha256(body).hexdigest())


def metadata_body(package: PackageRow, row: VersionRow) -> bytes:
    """The document, or CORRUPT_METADATA, so that one corrupt row does not stop the other files."""
    try:
        return render_metadata(package, row)
    except MetadataCorrupt:
        log.error("stored_manifest_corrupt", package=package.name, version=row.version)
        return CORRUPT_METADATA
