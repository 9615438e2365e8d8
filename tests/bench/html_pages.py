"""HTML pages of a registry of 100,000 packages: processor time, files and bytes, on a directory.

`python -m tests.bench html_pages`. It renders the pages of a sample, and the lists and sitemaps of all.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

from indexer.fence import Fence
from indexer.listed import Listed
from indexer.pages.feeds import render_versions_feed
from indexer.pages.list_html import render_lists
from indexer.pages.package_html import render_package_html
from indexer.pages.page_files import put_all
from indexer.pages.version_pages import put_version_pages
from indexer.parts import Parts
from indexer.rows import PackageRow, VersionRow
from shared.blobs import ARCHIVE_TYPE, archive_key
from shared.names import PackageName
from shared.page_paths import package_path, page_key, versions_feed_path
from shared.pages.site import Site
from shared.storage.filesystem import FileSystemStorage
from shared.storage.interface import Storage
from tests.archives import hello_archive, hello_manifest
from tests.bench.measure import print_table
from tests.memory import servers_directory

ALL, SAMPLE, VERSIONS, LISTED_PAGES = 100_000, 500, 3, 100
SITE = Site("https://registry.example", "", "https://web.example", is_private=False, has_log=True)
BEGIN = datetime(2024, 1, 1, tzinfo=UTC)
DOCS = "# Use\n\nCall `greeting.hello` with a *name*; [the guide](https://x07.io/guide) has more.\n\n" * 12


async def measure() -> None:
    """Render everything twice, and print what it took."""
    with tempfile.TemporaryDirectory(prefix="x07-pages-", dir=servers_directory()) as directory:
        root = Path(directory)
        storage = FileSystemStorage(root)
        packages = [await stored(storage, f"package-{number:06}") for number in range(SAMPLE)]
        first, again = await put(storage, packages), await put(storage, packages)
        pages = [each.stat().st_size for each in (root / "pages").rglob("*") if each.is_file()]
        begun = time.process_time()
        lists = sum(len(body) for _, body in render_lists(SITE, list(listed()), ALL // 100))
        lists_s = time.process_time() - begun
        await storage.close()
    share, of_lists = ALL / SAMPLE, ALL / 100 / LISTED_PAGES
    print_table(
        f"HTML pages of {ALL:,} packages of {VERSIONS} versions, from a sample of {SAMPLE}",
        "html_pages",
        ("what", "processor time", "files", "bytes"),
        [
            [
                "pages and feeds",
                _time(first * share),
                f"{len(pages) * share:,.0f}",
                _size(sum(pages) * share),
            ],
            ["the same again, nothing changed", _time(again * share), "0", "0"],
            ["lists and sitemaps", _time(lists_s * of_lists), f"{ALL / 50:,.0f}", _size(lists * of_lists)],
        ],
        ["with gzip and zstd variants, except lists and sitemaps; an archive has 5 KB, documentation 1 KB"],
    )


async def stored(storage: Storage, name: str) -> PackageRow:
    """A package whose archives are in storage."""
    rows = []
    for number in range(VERSIONS):
        version = f"0.{number}.0"
        archive = hello_archive(name, version, docs=DOCS)
        digest = hashlib.sha256(archive).hexdigest()
        key = archive_key(PackageName(name), version)
        await storage.put(key, archive, content_type=ARCHIVE_TYPE, digest=digest)
        manifest = json.dumps(hello_manifest(name, version, docs=DOCS))
        moment = BEGIN + timedelta(days=30 * number)
        rows.append(VersionRow(version, digest, False, manifest, published_at=moment))
    return PackageRow(
        UUID(int=1), PackageName(name), rows[-1].version, False, 1, tuple(rows), owners=("alice",)
    )


async def put(storage: Storage, packages: list[PackageRow]) -> float:
    """Put the pages of packages, as a worker that has just started. Returns the processor time in seconds."""
    nothing: Any = None  # rendering needs neither database nor messages
    parts = Parts(nothing, nothing, storage, nothing, nothing)
    begun = time.process_time()
    for package in packages:
        fence = Fence(storage, _held)
        await put_version_pages(parts, SITE, package, fence)
        await put_all(fence, _own_pages(package))
    return time.process_time() - begun


def _own_pages(package: PackageRow) -> Iterator[tuple[str, bytes]]:
    yield str(page_key(package_path(package.name))), render_package_html(SITE, package)
    yield str(page_key(versions_feed_path(package.name))), render_versions_feed(SITE, package)


def listed() -> Iterator[Listed]:
    """The packages on some pages of the list."""
    for number in range(100 * LISTED_PAGES):
        name = PackageName(f"package-{number:06}")
        yield Listed(number // 100 + 1, name, "0.2.0", "Says hello.", is_official=False)


async def _held() -> None:
    """The lock is held: nobody else renders."""


def _time(seconds: float) -> str:
    return f"{seconds:,.0f} s"


def _size(size_bytes: float) -> str:
    return f"{size_bytes / 1e6:,.0f} MB"


def main() -> None:
    """Measure."""
    asyncio.run(measure())


if __name__ == "__main__":
    main()
