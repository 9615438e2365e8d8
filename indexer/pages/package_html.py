"""Renders the pages of a package: its own, and one of each version. Pure: rows to bytes."""

from __future__ import annotations

from typing import Final

from indexer.pages.views import package_view, version_view
from indexer.rows import PackageRow, VersionRow
from shared.names import PackageName
from shared.pages.rendering import render_page
from shared.pages.site import Site

# A longer table helps nobody; the JSON of the package has them all.
SHOWN_VERSIONS: Final = 500


def render_package_html(site: Site, package: PackageRow) -> bytes:
    """The page of a package."""
    return render_page("package.html", site, package=package_view(package), shown=SHOWN_VERSIONS)


def render_version_html(site: Site, name: PackageName, row: VersionRow) -> bytes:
    """The page of a version. It depends on no other version, so a publish leaves older pages as they are."""
    return render_page("version.html", site, package=name, version=version_view(name, row))
