"""Renders the files of one package from its rows, and puts them through a fence.

Files are put in the order that readers need: archive and metadata, then the index file. Removal goes in the
opposite order: first the line, then the files.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import structlog

from indexer.advisory_list import render_advisory_list
from indexer.catalog import is_official_in
from indexer.encodings import put_variants, small_variants, variant_keys
from indexer.entry import Lines, join_lines, render_lines
from indexer.fence import Fence, Rendered
from indexer.known_versions import require_known_versions
from indexer.metadata import render_metadata
from indexer.package_page import render_package_page
from indexer.parts import Parts
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
    staging_prefix,
)
from shared.concurrency import together
from shared.errors import MetadataCorrupt, StorageFailed
from shared.names import PackageName
from shared.stop_points import stop_at
from shared.storage.interface import Storage
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


async def look_at_package(parts: Parts, fence: Fence, files: PackageFiles) -> PackageFiles:
    """Look at what will be replaced, unless what was seen before the lock is that; return the files.

    Where files are not looked at before the lock, those of a new package are not looked at either, and what
    replaces nothing is put meanwhile. Raises DatabaseBehind if versions there have no row.
    """
    if parts.settings.stores_files:
        await _look(parts, fence, files)
    else:
        looks = () if files.is_first else (_look(parts, fence, files),)
        await together(_put_new(parts, fence, files), *looks)
    stop_at("after_look", parts.settings.test_stop_at)
    return files


async def _look(parts: Parts, fence: Fence, files: PackageFiles) -> None:
    index = fence.seen(files.index.key)
    is_newest = (0 if index is None else index.generation) == files.state.published_generation
    if not (is_newest and fence.has_looked_at(files.replaced_keys)):
        await fence.look(files.replaced_keys)
    await require_known_versions(parts.storage, fence, files.state)


async def put_package_files(parts: Parts, fence: Fence, files: PackageFiles) -> PackageFiles:
    """Put the files of a package, whose lock was proved after the look; return the files."""
    fence.require_not_newer(files.index.key, files.package.generation)
    if not parts.settings.stores_files:
        await _put_rest(parts, fence, files)
    elif not await _put_in_order(fence, files):
        await _put_new(parts, fence, files)
        await _put_replaced(fence, files)
    stop_at("after_index_put", parts.settings.test_stop_at)
    await _put_removed(parts.storage, fence, files)
    return files


async def _put_in_order(fence: Fence, files: PackageFiles) -> bool:
    """Put all files of a package in one step. False: this is not possible; some may have been put."""
    body = join_lines(files.lines)
    variants = small_variants(fence, files.index, body)
    if variants is None:
        return False
    name = files.package.name
    copies = [(row.staging_key, archive_key(name, row.version)) for row in files.staged]
    documents = [*files.new_documents, *_replaced_documents(fence, files), files.page]
    then = [files.index, *variants]
    return await fence.put_in_order(copies, documents, then, files.package.generation)


async def _put_new(parts: Parts, fence: Fence, files: PackageFiles) -> None:
    """Put what replaces nothing: archives, and the documents of versions that had none."""
    generation = files.package.generation
    await together(
        _promote_staged(parts, files), *(fence.put(file, generation) for file in files.new_documents)
    )


async def _put_rest(parts: Parts, fence: Fence, files: PackageFiles) -> None:
    """Put what _put_new has not. Of a new package, look only if there are files where none should be.

    A publication that was cut off has left them, or a newer database. Variants are put after their index
    file, so where there is none of the latter, there are none.
    """
    if fence.has_looked_at([files.index.key]):
        await _put_replaced(fence, files)
        return
    generation = files.package.generation
    first = (fence.put_first(file, generation) for file in (files.page, files.index))
    if not all(await together(*first)):
        await _look(parts, fence, files)
        await fence.prove()
        await _put_replaced(fence, files)
        return
    body = join_lines(files.lines)
    await put_variants(fence, files.index, len(body), lambda: (body,), generation)


async def _put_replaced(fence: Fence, files: PackageFiles) -> None:
    """Put the files that may replace others: first those that the index file needs."""
    generation = files.package.generation
    await together(*(fence.put(file, generation) for file in _replaced_documents(fence, files)))
    body = join_lines(files.lines)
    await together(
        fence.put(files.page, generation),
        fence.put(files.index, generation),
        put_variants(fence, files.index, len(body), lambda: (body,), generation),
    )


def _replaced_documents(fence: Fence, files: PackageFiles) -> list[Rendered]:
    """The documents of versions that may replace others."""
    lists = (file for file in files.advisory_lists if not fence.has(file))
    return [*files.replaced_documents, *lists]


async def _promote_staged(parts: Parts, files: PackageFiles) -> None:
    """Promote every staged archive."""
    await together(*(_promote(parts.storage, files.package.name, row) for row in files.staged))
    stop_at("after_promote", parts.settings.test_stop_at)


async def _promote(storage: Storage, name: PackageName, row: VersionRow) -> None:
    """Copy a staged archive to where readers find it, unless it is there. Other bytes are never replaced."""
    target = archive_key(name, row.version)
    if await storage.copy(row.staging_key, target, only_if_absent=True):
        return
    there = await storage.head(target)
    if there is None:
        raise StorageFailed(f"archive of {name} {row.version} is neither staged nor published")
    if there.digest != row.cksum:
        raise StorageFailed(f"archive of {name} {row.version} is published with other bytes, and stays so")


async def _put_removed(storage: Storage, fence: Fence, files: PackageFiles) -> None:
    """Replace the files of removed versions by empty ones, and delete their staged archives."""
    generation = files.package.generation
    await together(*(fence.put(file, generation) for file in files.removed if _is_left(fence, file.key)))
    staged = [key for row in files.package.removed for key in await staged_copies(storage, row.cksum)]
    await together(*map(storage.delete, staged))


def _is_left(fence: Fence, key: str) -> bool:
    """True unless an empty file has taken the place of a removed version's file.

    A file that is missing is replaced too, because a late request may still put it.
    """
    seen = fence.seen(key)
    return seen is None or not seen.is_removed


async def staged_copies(storage: Storage, sha256: str) -> list[str]:
    """The keys of all staged uploads of these bytes."""
    return [info.key async for info in storage.scan(staging_prefix(sha256))]


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
