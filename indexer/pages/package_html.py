"""Renders the pages of a package: its own, and one of each version. Pure: rows to bytes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final

from indexer.home import Dependent
from indexer.pages.files_html import FILES_EDITION
from indexer.pages.graph import graph_of
from indexer.pages.timeline import time_line
from indexer.pages.views import package_view, releases_of, version_view
from indexer.rows import PackageRow, VersionRow
from shared.names import PackageName
from shared.pages.rendering import render_page
from shared.pages.site import Site
from shared.versions import VersionText

# A longer table helps nobody; the JSON of the package has them all.
SHOWN_VERSIONS: Final = 500


def render_package_html(
    site: Site,
    package: PackageRow,
    dependents: Sequence[Dependent] = (),
    sizes: Mapping[VersionText, int] = MappingProxyType({}),
) -> bytes:
    """The page of a package. dependents: the packages that require it, as far as pages show them.

    sizes: of the archives in bytes, as far as they are known.
    """
    view = package_view(package, sizes)
    shown = [each for each in dependents if site.shows(each.name)]
    requires = list(dict.fromkeys(each.name for each in view.requires))
    return render_page(
        "package.html",
        site,
        package=view,
        shown=SHOWN_VERSIONS,
        dependents=shown,
        time_line=time_line(view.versions),
        graph=graph_of(view.name, [each.name for each in shown], requires),
    )


def shown_versions(package: PackageRow) -> list[VersionText]:
    """The versions whose sizes the page of a package shows."""
    return [release.version for release in releases_of(package)[:SHOWN_VERSIONS]]


def render_version_html(site: Site, name: PackageName, row: VersionRow) -> bytes:
    """The page of a version. It depends on no other version, so a publish leaves older pages as they are."""
    view = version_view(name, row)
    return render_page("version.html", site, package=name, version=view, files_edition=FILES_EDITION)
