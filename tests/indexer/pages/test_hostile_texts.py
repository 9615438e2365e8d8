"""Every text of a publisher is hostile until it is escaped: no field brings markup or a link into a page."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from html.parser import HTMLParser
from typing import Any
from uuid import UUID

import pytest

from indexer.home import Home, NewVersion, Required
from indexer.pages.archive_files import ArchiveFile, Listing
from indexer.pages.docs_text import render_docs
from indexer.pages.files_html import render_files_html
from indexer.pages.home_html import render_home_html
from indexer.pages.package_html import render_package_html, render_version_html
from indexer.rows import AdvisoryRow, PackageRow, SignatureRow, VersionRow
from shared.pages.site import Site
from shared.provenance import Provenance

SITE = Site("https://registry.example", "", "https://web.example", is_private=False)
NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
ID = UUID(int=1)
HOSTILE = (
    "\"'><script>alert(1)</script><img src=https://evil.example/x onerror=alert(1)>"
    "<style>*{display:none}</style><a href=javascript:alert(1)>x</a>{{ 7777*7 }}{% x %}\u202e\x1b[31m</title>"
)
LINKS = (
    "javascript:alert(1)",
    "JaVaScRiPt:alert(1)",
    "data:text/html,<script>alert(1)</script>",
    "//evil.example",
    "https://[",
    "vbscript:x",
)
TEXTS = ("description", "docs", "license", "module_root")
LOADING = ("script", "link", "img", "style", "iframe", "object", "base", "form")
VOID = {"meta", "link", "img", "input", "br", "hr"}


class Found(HTMLParser):
    """The tags and addresses in a page. It fails for tags that do not match."""

    def __init__(self, page: bytes) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self._open: list[str] = []
        self.feed(page.decode())
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Keep the tag."""
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        """Require that the innermost element ends."""
        assert self._open.pop() == tag


def manifest(**fields: Any) -> dict[str, Any]:
    """A stored manifest with these fields."""
    return {"name": "hello", "version": "1.0.0", "modules": ["a"], **fields}


def package_of(**fields: Any) -> PackageRow:
    """A package of one version with these fields."""
    row = VersionRow(
        "1.0.0", "0" * 64, False, **{"manifest_json": json.dumps(manifest()), "published_at": NOW, **fields}
    )
    return PackageRow(ID, "hello", "1.0.0", False, 1, (row,), owners=("alice",))


def test_no_file_of_an_archive_brings_markup() -> None:
    """Neither its path nor its text; a path is shown as it is, whatever an older release took."""
    row = package_of().versions[0]
    cut = ArchiveFile(f"{HOSTILE}/b", 7, f"</code></pre>{HOSTILE}", is_whole=False)
    files = (ArchiveFile(HOSTILE, 7, HOSTILE), cut)
    plain = (ArchiveFile("a", 7, "a"), ArchiveFile("b", 7, "b", is_whole=False))
    require_harmless(
        render_files_html(SITE, "hello", row, Listing(files, 2, 14)),
        render_files_html(SITE, "hello", row, Listing(plain, 2, 14)),
    )


def pages_of(package: PackageRow) -> list[bytes]:
    """Both pages of a package of one version."""
    return [
        render_package_html(SITE, package),
        render_version_html(SITE, package.name, package.versions[0]),
    ]


def require_harmless(page: bytes, plain: bytes) -> None:
    """Fail unless the page loads and runs what the plain page does, and no more."""
    found, allowed = Found(page), Found(plain)
    loaded = [
        (tag, attrs) for tag, attrs in found.tags if tag in ("script", "link", "img", "style", "iframe")
    ]
    assert loaded == [(tag, attrs) for tag, attrs in allowed.tags if tag in ("script", "link", "img")]
    for tag, attrs in found.tags:
        assert not {name for name in attrs if name.startswith("on") or name == "style"}, (tag, attrs)
        address = attrs.get("href") or attrs.get("src") or attrs.get("action") or "/"
        assert address.startswith(("/", "#", "https://", "http://")), address
        assert not address.startswith("//"), address
    assert b"54439" not in page
    assert "\u202e".encode() not in page
    assert b"\x1b" not in page


def require_harmless_pages(package: PackageRow) -> None:
    """The same for both pages of a package of one version."""
    for page, plain in zip(pages_of(package), pages_of(package_of()), strict=True):
        require_harmless(page, plain)


@pytest.mark.parametrize("key", TEXTS)
def test_no_text_of_a_manifest_brings_markup(key: str) -> None:
    """Description, docs and licence are shown as the text that they are."""
    for page, plain in zip(
        pages_of(package_of(manifest_json=json.dumps(manifest(**{key: HOSTILE})))),
        pages_of(package_of()),
        strict=True,
    ):
        require_harmless(page, plain)


@pytest.mark.parametrize(
    "value",
    [
        {"modules": [HOSTILE, 1, None]},
        {"meta": {"facets": [HOSTILE], "archetypes": HOSTILE, "binding": HOSTILE}},
        {"meta": {"requires_packages": [HOSTILE, f"a@{HOSTILE}", "b@1.0.0"]}},
        {"meta": HOSTILE, "modules": HOSTILE, "description": 1, "docs": [HOSTILE]},
    ],
)
def test_no_list_of_a_manifest_brings_markup(value: dict[str, Any]) -> None:
    """Modules, facets and requirements of older manifests may hold anything."""
    for page, plain in zip(
        pages_of(package_of(manifest_json=json.dumps(manifest(**value)))), pages_of(package_of()), strict=True
    ):
        require_harmless(page, plain)


def test_no_row_beside_the_manifest_brings_markup() -> None:
    """Advisories, provenance, signatures and owners are escaped as well."""
    advisory = AdvisoryRow(ID, HOSTILE, HOSTILE, HOSTILE, HOSTILE, HOSTILE, NOW)
    provenance = Provenance(issuer=HOSTILE, repository=HOSTILE, workflow=HOSTILE, commit=HOSTILE, run=HOSTILE)
    hostile = package_of(
        advisories=(advisory,), provenance=provenance, signature=SignatureRow(HOSTILE, HOSTILE, b"")
    )
    for page, plain in zip(
        pages_of(replace(hostile, owners=(HOSTILE,))), pages_of(package_of()), strict=True
    ):
        require_harmless(page, plain)


@pytest.mark.parametrize("url", LINKS)
def test_an_advisory_links_to_web_pages_only(url: str) -> None:
    """Another address is not shown as a link."""
    advisory = AdvisoryRow(ID, "broken", "low", "It is.", "", url, NOW)
    require_harmless_pages(package_of(advisories=(advisory,)))


def test_the_home_page_escapes_what_it_lists() -> None:
    """The descriptions of the newest versions are those of publishers."""
    newest = (NewVersion("hello", "1.0.0", NOW, HOSTILE),)
    plain = (NewVersion("hello", "1.0.0", NOW, "Says hello."),)
    required = (Required("hello", 1),)
    require_harmless(
        render_home_html(SITE, Home(1, 1, newest, required)),
        render_home_html(SITE, Home(1, 1, plain, required)),
    )


@pytest.mark.parametrize("url", LINKS)
def test_documentation_links_to_web_pages_only(url: str) -> None:
    """Markdown has links, images and HTML; only links to web pages and mail stay."""
    text = f"[x]({url}) ![y]({url}) <{url}> <a href='{url}'>z</a>\n\n[r]: {url}\n\n[r]"
    html = render_docs(text)
    require_harmless(html.encode(), b"")
    assert {attrs.get("href") for tag, attrs in Found(html.encode()).tags if tag == "a"} <= {None}


def test_documentation_keeps_its_form_and_no_heading_is_left_out() -> None:
    """Headings stand below the page's own, one level after another, so that who hears the page can follow."""
    html = render_docs(
        "# A\n\n### B\n\nOne *two* `three`.\n\n- a\n- b\n\n|x|y|\n|-|-|\n|1|2|\n\n```\n<b>\n```\n"
    )
    assert "<h3>A</h3>" in html
    assert "<h4>B</h4>" in html
    assert "<em>two</em> <code>three</code>" in html
    assert "<td>1</td>" in html
    assert "<pre><code>&lt;b&gt;\n</code></pre>" in html
