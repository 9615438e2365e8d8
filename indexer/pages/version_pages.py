"""Puts the pages of the versions of a package: of each its own, and before it the page of its files.

The page of the files depends on the archive alone, so it is rendered only where the page of the version is
new or another one. An archive is then read when its version is published, yanked or warned of, and in a new
edition, but not when the package gets another version.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from tempfile import SpooledTemporaryFile
from typing import Final

from indexer.fence import Fence, Rendered
from indexer.pages.archive_files import Listing, list_files
from indexer.pages.files_html import render_files_html
from indexer.pages.package_html import render_version_html
from indexer.pages.page_files import PAGES_AT_ONCE, page_file, put_differing
from indexer.pages.views import releases_of
from indexer.parts import Parts
from indexer.rows import PackageRow, VersionRow
from shared.blobs import archive_key
from shared.names import PackageName
from shared.page_paths import files_path, page_key, version_path
from shared.pages.site import Site
from shared.storage.interface import Missing, Storage

# A larger archive is not read.
MAX_ARCHIVE_BYTES: Final = 64 << 20
IN_MEMORY_BYTES: Final = 4 << 20


async def put_version_pages(parts: Parts, site: Site, package: PackageRow, fence: Fence) -> list[str]:
    """Put the pages that differ from those in storage. Returns their keys."""
    rows = [row for row in _rows_with_pages(package) if not parts.pages.has(row)]
    keys: list[str] = []
    for start in range(0, len(rows), PAGES_AT_ONCE):
        some = rows[start : start + PAGES_AT_ONCE]
        keys += await _put_some(parts.storage, site, package.name, some, fence)
        parts.pages.note(some)
    return keys


def _rows_with_pages(package: PackageRow) -> list[VersionRow]:
    wanted = {release.version for release in releases_of(package)}
    return [
        row
        for row in package.versions
        if row.version in wanted and page_key(version_path(package.name, row.version))
    ]


async def _put_some(
    storage: Storage, site: Site, name: PackageName, rows: Sequence[VersionRow], fence: Fence
) -> list[str]:
    """Put the pages of files first, because the others link to them and tell that they are there."""

    def render() -> list[Rendered]:
        return [_page(version_path(name, row.version), render_version_html(site, name, row)) for row in rows]

    pages = await asyncio.to_thread(render)
    await fence.look(page.key for page in pages)
    changed = [(page, row) for page, row in zip(pages, rows, strict=True) if not fence.has(page)]
    files = [await _files_page(storage, site, name, row) for _, row in changed]
    return await put_differing(fence, files) + await put_differing(fence, [page for page, _ in changed])


async def _files_page(storage: Storage, site: Site, name: PackageName, row: VersionRow) -> Rendered:
    listing = await _listing(storage, archive_key(name, row.version))
    body = await asyncio.to_thread(render_files_html, site, name, row, listing)
    return _page(files_path(name, row.version), body)


async def _listing(storage: Storage, key: str) -> Listing | None:
    """What is in an archive; None if it is missing, too large or of an old form."""
    async with storage.open(key) as opened:
        if isinstance(opened, Missing) or opened.info.size_bytes > MAX_ARCHIVE_BYTES:
            return None
        with SpooledTemporaryFile(IN_MEMORY_BYTES) as file:
            async for chunk in opened.chunks:
                await asyncio.to_thread(file.write, chunk)
            return await asyncio.to_thread(list_files, file)


def _page(path: str, body: bytes) -> Rendered:
    key = page_key(path)
    assert key is not None
    return page_file(key, body)
