"""Renders the lists of packages, and the sitemaps of them. Pure: listings to bytes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Final
from xml.sax.saxutils import escape

from indexer.listed import Listed
from shared.page_paths import list_key, list_path, package_path, sitemap_path
from shared.pages.rendering import render_page
from shared.pages.site import Site

SITEMAPS: Final = "http://www.sitemaps.org/schemas/sitemap/0.9"
HEAD: Final = '<?xml version="1.0" encoding="UTF-8"?>\n'


def render_lists(site: Site, listed: Sequence[Listed], last: int) -> Iterator[tuple[str, bytes]]:
    """The key and the bytes of each page that lists these packages, and of what depends on the last page.

    listed: all packages of some pages, the last two among them, in the order of pages.
    last: the number of the last page, 0 without packages.
    """
    shown = [each for each in listed if site.shows(each.name)]
    for number, group in groupby(shown, key=lambda each: each.page):
        packages = list(group)
        yield list_key(number), _page(site, packages, number, last)
        yield f"pages{sitemap_path(number)}", _sitemap(site, packages)
    newest = [each for each in shown if each.page > last - 2]
    yield list_key(None), _newest(site, newest, last)
    yield "pages/sitemap.xml", _sitemap_index(site, last)


def _page(site: Site, packages: Sequence[Listed], number: int, last: int) -> bytes:
    return render_page(
        "list.html",
        site,
        number=number,
        packages=packages,
        newer=site.root + list_path(number + 1 if number < last else None),
        older=site.root + list_path(number - 1) if number > 1 else None,
    )


def _newest(site: Site, packages: Sequence[Listed], last: int) -> bytes:
    """The last two pages, the newest first."""
    ordered = sorted(packages, key=lambda each: (-each.page, each.name))
    older = site.root + list_path(last - 2) if last > 2 else None
    return render_page("list.html", site, number=None, packages=ordered, newer=None, older=older)


def _sitemap(site: Site, packages: Sequence[Listed]) -> bytes:
    """The addresses of packages (sitemaps.org)."""
    urls = (f"<url><loc>{escape(site.address + package_path(each.name))}</loc></url>\n" for each in packages)
    return f'{HEAD}<urlset xmlns="{SITEMAPS}">\n{"".join(urls)}</urlset>\n'.encode()


def _sitemap_index(site: Site, last: int) -> bytes:
    """The addresses of all sitemaps: at most 50,000, so for five million packages."""
    maps = (
        f"<sitemap><loc>{escape(site.address + sitemap_path(number))}</loc></sitemap>\n"
        for number in range(1, last + 1)
    )
    return f'{HEAD}<sitemapindex xmlns="{SITEMAPS}">\n{"".join(maps)}</sitemapindex>\n'.encode()
