"""Renders the page of a package: its owners and versions, in the shape of `GET /v1/packages/{name}`.

No other file of the published tree names owners, so `rebuild-from-tree` takes the owners from here when the
database is lost (indexer/upkeep/rebuild.py; contract, 2.2).
"""

from __future__ import annotations

from typing import cast

import msgspec
from msgspec import UNSET

from indexer.rows import PackageRow, VersionRow
from shared.facets import facets_of
from shared.package_documents import PackagePage, PageVersion
from shared.timestamps import render_timestamp
from shared.versions import sort_ascending


def render_package_page(package: PackageRow) -> bytes:
    """The page of a package. It never raises, because it shows manifest fields as they are."""
    rows: dict[str, VersionRow] = {row.version: row for row in package.versions}
    meta = None if package.latest is None else package.latest.manifest.get("meta")
    newest_first = (rows[version] for version in reversed(sort_ascending(rows)))
    page = PackagePage(
        name=package.name,
        latest_version=package.latest_version,
        is_official=package.is_official,
        owners=package.owners,
        # msgspec writes what is encoded already as it is.
        versions=cast(tuple[PageVersion, ...], tuple(map(_version, newest_first))),
        facets=tuple(facets_of(package.name, meta)) or UNSET,
    )
    return msgspec.json.encode(page)


def _version(row: VersionRow) -> msgspec.Raw:
    return msgspec.Raw(row.once("page", lambda: msgspec.json.encode(_page_version(row))))


def _page_version(row: VersionRow) -> PageVersion:
    return PageVersion(
        version=row.version,
        cksum=row.cksum,
        yanked=row.yanked,
        published_at=render_timestamp(row.published_at),
        published_by=row.provenance or UNSET,
    )
