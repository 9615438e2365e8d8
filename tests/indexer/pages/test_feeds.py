"""Feeds keep the rules of Atom (RFC 4287), whatever publishers wrote into them."""

from __future__ import annotations

import io
import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID
from xml.etree import ElementTree

import feedparser
import pytest
from lxml import etree

from indexer.home import NewAdvisory, NewVersion
from indexer.pages.feeds import SHOWN, render_advisories_feed, render_new_feed, render_versions_feed
from indexer.rows import PackageRow, VersionRow
from shared.pages.site import Site

SITE = Site("https://registry.example/x07", "/x07", "https://web.example", is_private=False)
NOW = datetime(2026, 1, 2, 3, 4, 5, 120000, tzinfo=UTC)
XML_ONLY = etree.XMLParser(resolve_entities=False, no_network=True)
SCHEMA = etree.RelaxNG(etree.parse(Path(__file__).parent / "atom.rng"))
ATOM_TYPE = "application/atom+xml; charset=utf-8"
ATOM = "{http://www.w3.org/2005/Atom}"
DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]+)?Z")
HOSTILE = "<script>&amp;]]>\x00\x08\x1b\ufffe\uffff\u202e \U0001f600 é"


def require_valid(feed: bytes) -> ElementTree.Element:
    """Fail unless the feed keeps the rules that W3C's validator checks. Returns its root.

    lxml compares it with the schema of the standard, feedparser reads it as feed readers do, and what neither
    knows is below.
    """
    SCHEMA.assertValid(etree.fromstring(feed, XML_ONLY))
    read = feedparser.parse(io.BytesIO(feed), response_headers={"content-type": ATOM_TYPE})
    assert (read.bozo, read.version, read.encoding) == (False, "atom10", "utf-8"), read.get("bozo_exception")
    root = ElementTree.fromstring(feed)  # noqa: S314 - our own
    assert len(read.entries) == len(root.findall(f"{ATOM}entry"))
    assert all(entry.updated_parsed and entry.published_parsed and entry.link for entry in read.entries)
    assert root.tag == f"{ATOM}feed"
    require_once(root, "id", "title", "updated", "author")
    assert root.find(f"{ATOM}author/{ATOM}name").text
    links = {link.get("rel"): link for link in root.findall(f"{ATOM}link")}
    assert links["self"].get("href") == root.find(f"{ATOM}id").text
    assert links["alternate"].get("type") == "text/html"
    entries = root.findall(f"{ATOM}entry")
    for entry in entries:
        require_once(entry, "id", "title", "updated", "published")
        assert entry.find(f"{ATOM}title").text.strip()
        assert entry.find(f"{ATOM}link").get("href").startswith(f"{SITE.address}/packages/")
    ids = [entry.find(f"{ATOM}id").text for entry in entries]
    assert len(set(ids)) == len(ids)
    updated = [entry.find(f"{ATOM}updated").text for entry in entries]
    assert all(moment <= root.find(f"{ATOM}updated").text for moment in updated)
    return root


def require_once(element: ElementTree.Element, *names: str) -> None:
    """Fail unless the element has exactly one child of each name; dates in RFC 3339, ids as URLs."""
    for name in names:
        found = element.findall(f"{ATOM}{name}")
        assert len(found) == 1, name
        if name in ("updated", "published"):
            assert DATE.fullmatch(found[0].text or "")
        if name == "id":
            assert (found[0].text or "").startswith("https://registry.example/x07/")


@pytest.mark.parametrize(
    ("good", "bad"),
    [
        (b"<updated>", b"<updated>yesterday, "),
        (b"</updated>", b"</updated><updated>2026-01-02T03:04:05Z</updated>"),
        (b"<author>", b"<writer/><author>"),
        (b'type="text/html"', b'type="html"'),
        (b"<entry>", b"<entry><title>again</title>"),
        (b"<id>", b"<id/><id>"),
    ],
)
def test_the_rules_notice_a_feed_that_breaks_one(good: bytes, bad: bytes) -> None:
    """Otherwise they would prove nothing."""
    feed = render_new_feed(SITE, [NewVersion("hello", "0.1.0", NOW, HOSTILE)])
    require_valid(feed)
    assert good in feed
    assert not SCHEMA.validate(etree.fromstring(feed.replace(good, bad, 1), XML_ONLY))


def test_a_feed_without_entries_is_valid() -> None:
    """A fresh registry has feeds that readers can subscribe to."""
    for feed in (render_new_feed(SITE, ()), render_advisories_feed(SITE, ())):
        assert require_valid(feed).findall(f"{ATOM}entry") == []


def test_the_feed_of_new_versions_has_the_newest_and_hostile_texts_are_texts() -> None:
    """Descriptions may hold markup, and characters that XML does not have."""
    newest = [NewVersion("hello", f"0.{n}.0", NOW - timedelta(days=n), HOSTILE) for n in range(SHOWN + 5)]
    root = require_valid(render_new_feed(SITE, newest))
    entries = root.findall(f"{ATOM}entry")
    assert len(entries) == SHOWN
    assert entries[0].find(f"{ATOM}title").text == "hello 0.0.0"
    summary = entries[0].find(f"{ATOM}summary").text
    assert "<script>&amp;]]>" in summary
    assert "\U0001f600 é" in summary
    assert root.find(f"{ATOM}updated").text == "2026-01-02T03:04:05.120Z"


def test_the_feed_of_advisories_tells_of_withdrawals() -> None:
    """An entry keeps its id, so a reader shows the withdrawal as a change of it."""
    later = NOW + timedelta(days=1)
    given = NewAdvisory(UUID(int=1), "hello", "1.0.0", "broken", "high", HOSTILE, NOW, None)
    withdrawn = NewAdvisory(UUID(int=1), "hello", "1.0.0", "broken", "high", HOSTILE, NOW, later)
    [before] = require_valid(render_advisories_feed(SITE, [given])).findall(f"{ATOM}entry")
    [after] = require_valid(render_advisories_feed(SITE, [withdrawn])).findall(f"{ATOM}entry")
    assert before.find(f"{ATOM}id").text == after.find(f"{ATOM}id").text
    assert after.find(f"{ATOM}title").text == "hello 1.0.0: broken, high severity, withdrawn"
    assert after.find(f"{ATOM}updated").text == "2026-01-03T03:04:05.120Z"


def test_the_feed_of_a_package_has_its_versions_newest_first_without_yanked_ones() -> None:
    """By the time of publication, so that a fix of an old release appears as new."""
    rows = tuple(
        VersionRow(
            version,
            "0" * 64,
            yanked,
            json.dumps({"description": HOSTILE}),
            published_at=NOW + timedelta(days=day),
        )
        for version, yanked, day in (("1.0.0", False, 2), ("2.0.0", False, 1), ("3.0.0", True, 3))
    )
    package = PackageRow(UUID(int=1), "hello", "2.0.0", False, 1, rows)
    entries = require_valid(render_versions_feed(SITE, package)).findall(f"{ATOM}entry")
    assert [entry.find(f"{ATOM}title").text for entry in entries] == ["hello 1.0.0", "hello 2.0.0"]
