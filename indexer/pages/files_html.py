"""Renders the page of the files of a version. Pure: a listing to bytes."""

from __future__ import annotations

from typing import Final

from indexer.pages.archive_files import Listing
from indexer.rows import VersionRow
from shared.names import PackageName
from shared.pages.rendering import render_page, template_digest
from shared.pages.site import Site

TEMPLATE: Final = "files.html"
# To be raised when the page changes although its template does not.
FORMAT: Final = 1
FILES_EDITION: Final = f"{FORMAT}-{template_digest(TEMPLATE)[:12]}"
"""The edition of the page. The page of the version names it, so that both change together."""


def render_files_html(site: Site, name: PackageName, row: VersionRow, listing: Listing | None) -> bytes:
    """The page. It depends on the archive alone. listing: None if the archive cannot be listed."""
    return render_page(TEMPLATE, site, package=name, version=row.version, cksum=row.cksum, listing=listing)
