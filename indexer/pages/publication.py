"""Publishes pages: one builder at a time, a batch of packages in each transaction, behind their publication.

worker/page_debounce.py decides when to build, so that one build covers many changes. A page is rendered from
rows that readers see already: of a package with an unpublished change, the pages wait for its publication.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from itertools import chain
from typing import Final
from uuid import UUID, uuid4

import structlog

from indexer.fence import Fence
from indexer.home import Dependent, Home
from indexer.metrics import PAGES_SECONDS
from indexer.pages.feeds import render_advisories_feed, render_new_feed, render_versions_feed
from indexer.pages.home_html import render_home_html
from indexer.pages.list_html import render_lists
from indexer.pages.package_html import render_package_html, shown_versions
from indexer.pages.page_files import empty, put_all, put_differing
from indexer.pages.site_files import site_files
from indexer.pages.version_pages import put_version_pages
from indexer.pages.views import releases_of
from indexer.parts import Parts
from indexer.purging.wanted import want_purge
from indexer.queries import packages, page_lists, pages
from indexer.rows import PackageRow
from shared.database import require_open
from shared.errors import Unavailable
from shared.messages import Change
from shared.names import PackageName
from shared.page_paths import (
    ADVISORIES_FEED,
    HOME_KEY,
    NEW_FEED,
    files_path,
    package_path,
    page_key,
    version_path,
    versions_feed_path,
)
from shared.pages.site import Site, site_of
from shared.statements import Connection
from shared.stop_points import stop_at
from shared.versions import VersionText

PACKAGES_PER_BATCH: Final = 50

log = structlog.get_logger()


async def publish_pages(parts: Parts) -> bool:
    """Render the pages of some packages that changed, and those about all packages.

    The first time, also if no package changed, because a new release may have other pages. Returns True if
    nothing is left to do. Raises StorageUnavailable, DatabaseUnavailable or DatabaseBehind.
    """
    await parts.high_water.require()
    has_site_files = parts.pages.has_site_files and await parts.storage.head(HOME_KEY) is not None
    if has_site_files and not await pages.are_pages_dirty(parts.database):
        return True
    begun = time.perf_counter()
    async with parts.database.driver_transaction("REPEATABLE READ") as tx:
        if not await pages.try_pages_lock(tx):
            return False
        build = uuid4()
        parts.pages.begin(build, await pages.begin_build(parts.database, build))
        fence = Fence(parts.storage, partial(require_open, tx))
        of_site = [] if has_site_files else await _put_site_files(parts, fence)
        put = await _put_changed(parts, tx, fence, of_site)
        stop_at("after_pages_put", parts.settings.test_stop_at)
        await want_purge(tx, parts.settings, (*put.keys, *put.may_have_changed))
    parts.pages.has_site_files = True
    if put.keys or put.may_have_changed:
        await parts.notifier.announce(Change(tuple(put.keys)))
    PAGES_SECONDS.observe(time.perf_counter() - begun)
    log.info("pages_published", files=len(put.keys))
    return not await pages.are_pages_dirty(parts.database)


@dataclass(frozen=True, slots=True)
class PutPages:
    """The keys of the pages that were put.

    may_have_changed: keys of pages that this build is for. An earlier build may have put them and died before
    it noted that they have to be purged; then this one finds them unchanged.
    """

    keys: list[str]
    may_have_changed: list[str]


async def _put_site_files(parts: Parts, fence: Fence) -> list[str]:
    """Put the files that depend on no package, before the pages that use them. Returns the keys.

    They change with the release and its settings, so a worker puts them in its first build.
    """
    return await put_differing(fence, await asyncio.to_thread(site_files, site_of(parts.settings)))


async def _put_changed(parts: Parts, tx: Connection, fence: Fence, of_site: Sequence[str]) -> PutPages:
    """Take changes and put the pages that they change: those of packages first, which the others link to.

    of_site: the keys of what this build has put so far.
    """
    site = site_of(parts.settings)
    names = await pages.take_changes(tx, PACKAGES_PER_BATCH)
    states = await packages.states_of(tx, names, parts.settings.official_handle, parts.versions)
    clean = [state.package for state in states if state.is_clean]
    visible = [package for package in clean if site.shows(package.name)]
    releases = [release for package in visible for release in _new_releases(package)]
    await pages.put_releases(tx, [package.id for package in clean], releases)
    await page_lists.place(tx, {package.id: len(package.versions) for package in visible})
    dependents = await pages.dependents_of(tx, [package.name for package in visible])
    keys = [*of_site]
    keys += await _put_pages(visible, lambda each: _put_package(parts, fence, each, dependents[each.name]))
    required = await _required_by(parts, tx, names)
    keys += await _put_required(parts, tx, fence, required)
    keys += await _remove_pages(site, fence, clean)
    listed, last = await page_lists.changed_pages(tx, names), await page_lists.last_page(tx)
    overviews = _overviews(site, await pages.home(tx, site.shows))
    keys += await put_all(fence, chain(render_lists(site, listed, last), overviews))
    of_packages = [page_key(package_path(each.name)) for each in (*clean, *required)]
    of_all = [HOME_KEY] if visible else []
    return PutPages(keys, [*of_all, *(key for key in of_packages if key is not None)])


def _overviews(site: Site, home: Home) -> Iterator[tuple[str, bytes]]:
    """The pages and feeds about the whole registry, which change when a public package does."""
    yield HOME_KEY, render_home_html(site, home)
    yield f"pages{NEW_FEED}", render_new_feed(site, home.newest)
    yield f"pages{ADVISORIES_FEED}", render_advisories_feed(site, home.advisories)


async def _required_by(parts: Parts, tx: Connection, names: Sequence[PackageName]) -> list[PackageRow]:
    """The other packages that these require, if they are visible."""
    shows = site_of(parts.settings).shows
    all_required = await pages.required_by(tx, names)
    await pages.count_dependents(tx, sorted({*names, *all_required}))
    if not (required := [name for name in all_required if name not in names and shows(name)]):
        return []
    states = await packages.states_of(tx, required, parts.settings.official_handle, parts.versions)
    return [state.package for state in states if state.is_clean]


async def _put_required(
    parts: Parts, tx: Connection, fence: Fence, required: Sequence[PackageRow]
) -> list[str]:
    """Put the pages of packages that others require, which list those. Returns the keys."""
    if not required:
        return []
    site = site_of(parts.settings)
    dependents = await pages.dependents_of(tx, [package.name for package in required])

    async def put(package: PackageRow) -> list[str]:
        sizes = await _sizes(parts, package)
        return await put_all(fence, _package_page(site, package, dependents[package.name], sizes))

    return await _put_pages(required, put)


async def _put_pages(
    visible: Sequence[PackageRow], put: Callable[[PackageRow], Awaitable[list[str]]]
) -> list[str]:
    """Put pages of packages. Returns the keys of those that changed.

    A package whose pages cannot be made or put is left out, so that the others do not wait for it.
    """
    keys: list[str] = []
    for package in visible:
        try:
            keys += await put(package)
        except Unavailable:
            raise
        except Exception:
            log.exception("pages_failed", package=package.name)
    return keys


async def _put_package(
    parts: Parts, fence: Fence, package: PackageRow, dependents: Sequence[Dependent]
) -> list[str]:
    """Put the pages of the versions of a package, then its own, and its feed."""
    site = site_of(parts.settings)
    keys = await put_version_pages(parts, site, package, fence)
    page = _package_page(site, package, dependents, await _sizes(parts, package))
    return keys + await put_all(fence, chain(page, _versions_feed(site, package)))


async def _sizes(parts: Parts, package: PackageRow) -> Mapping[VersionText, int]:
    """The sizes of the archives that the page of a package shows."""
    return await parts.archive_sizes.of(parts.storage, package.name, shown_versions(package))


def _package_page(
    site: Site, package: PackageRow, dependents: Sequence[Dependent], sizes: Mapping[VersionText, int]
) -> Iterator[tuple[str, bytes]]:
    if key := page_key(package_path(package.name)):
        yield key, render_package_html(site, package, dependents, sizes)


def _versions_feed(site: Site, package: PackageRow) -> Iterator[tuple[str, bytes]]:
    if key := page_key(versions_feed_path(package.name)):
        yield key, render_versions_feed(site, package)


async def _remove_pages(site: Site, fence: Fence, packages: Sequence[PackageRow]) -> list[str]:
    """Replace pages by empty files: of removed versions, and of packages that have become private."""
    keys: list[str] = []
    for package in packages:
        names: list[str] = []
        versions = [row.version for row in package.removed]
        if not site.shows(package.name):
            names = [package_path(package.name), versions_feed_path(package.name)]
            versions += [release.version for release in releases_of(package)]
        for path in (version_path, files_path):
            names += [path(package.name, version) for version in versions]
        keys += await empty(fence, [key for name in names if (key := page_key(name))])
    return keys


def _new_releases(package: PackageRow) -> list[tuple[UUID, VersionText, datetime]]:
    """The versions of a package that may be among the newest of all."""
    releases = [release for release in releases_of(package) if not release.yanked]
    newest = sorted(releases, key=lambda each: each.published_at, reverse=True)[: pages.KEPT_RELEASES]
    return [(package.id, release.version, release.published_at) for release in newest]
