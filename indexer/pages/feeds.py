"""Renders Atom feeds (RFC 4287): new versions, advisories, and the versions of a package. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from indexer.home import NewAdvisory, NewVersion
from indexer.pages.views import description_of, releases_of
from indexer.rows import PackageRow
from shared.page_paths import ADVISORIES_FEED, NEW_FEED, package_path, version_path, versions_feed_path
from shared.pages.rendering import render_page
from shared.pages.site import Site

SHOWN: Final = 50
NOTHING_YET: Final = datetime(1970, 1, 1, tzinfo=UTC)
# XML 1.0 has no other control characters; U+FFFE and U+FFFF are none of its characters either.
NO_CHARACTERS: Final = dict.fromkeys(
    [*(code for code in range(0x20) if chr(code) not in "\t\n\r"), 0xFFFE, 0xFFFF], "\ufffd"
)


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry. id: a URL that no other entry of the feed has. url: of its page."""

    id: str
    title: str
    url: str
    published: datetime
    updated: datetime
    summary: str


@dataclass(frozen=True, slots=True)
class Feed:
    """A feed. url: its own. page: the URL of the page that shows the same. entries: newest first."""

    url: str
    page: str
    title: str
    entries: Sequence[Entry]

    @property
    def updated(self) -> datetime:
        """When the newest change of an entry was."""
        return max((entry.updated for entry in self.entries), default=NOTHING_YET)


def render_new_feed(site: Site, newest: Iterable[NewVersion]) -> bytes:
    """The feed of new versions of all packages."""
    entries = [_version_entry(site, each) for each in newest]
    feed = Feed(site.address + NEW_FEED, f"{site.address}/", f"{site.host}: new versions", entries[:SHOWN])
    return render_page("feed.atom", site, feed=feed)


def render_versions_feed(site: Site, package: PackageRow) -> bytes:
    """The feed of the versions of a package, by the time of their publication."""
    shown = {release.version for release in releases_of(package) if not release.yanked}
    rows = [row for row in package.versions if row.version in shown]
    newest = sorted(rows, key=lambda row: (row.published_at, row.version), reverse=True)[:SHOWN]
    versions = (
        NewVersion(package.name, row.version, row.published_at, description_of(row)) for row in newest
    )
    entries = [_version_entry(site, each) for each in versions]
    url, page = site.address + versions_feed_path(package.name), site.address + package_path(package.name)
    feed = Feed(url, page, f"{package.name}: versions", entries)
    return render_page("feed.atom", site, feed=feed)


def render_advisories_feed(site: Site, newest: Iterable[NewAdvisory]) -> bytes:
    """The feed of advisories of all packages; one that was withdrawn says so."""
    entries = [_advisory_entry(site, each) for each in newest]
    url = site.address + ADVISORIES_FEED
    feed = Feed(url, f"{site.address}/", f"{site.host}: advisories", entries[:SHOWN])
    return render_page("feed.atom", site, feed=feed)


def _version_entry(site: Site, each: NewVersion) -> Entry:
    url = site.address + version_path(each.name, each.version)
    title = f"{each.name} {each.version}"
    return Entry(url, title, url, each.published_at, each.published_at, _xml(each.description or ""))


def _advisory_entry(site: Site, each: NewAdvisory) -> Entry:
    url = site.address + version_path(each.name, each.version)
    is_withdrawn = each.withdrawn_at is not None
    kind = f"{each.kind}, {each.severity} severity{', withdrawn' if is_withdrawn else ''}"
    title = _xml(f"{each.name} {each.version}: {kind}")
    updated = each.withdrawn_at or each.created_at
    return Entry(f"{url}#{each.id}", title, url, each.created_at, updated, _xml(each.summary))


def _xml(text: str) -> str:
    """The text without the characters that XML does not have."""
    return text.translate(NO_CHARACTERS)
