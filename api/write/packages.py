"""What the registry knows of a package."""

from __future__ import annotations

from dataclasses import dataclass

from api.write.queries.package_details import detail_of
from api.write.queries.versions import VersionSummary
from api.write.services import Services
from shared.facets import facets_of
from shared.names import PackageName
from shared.versions import sort_ascending


@dataclass(frozen=True, slots=True)
class PackageDetail:
    """A package in one snapshot. versions: descending SemVer, unparsable ones first."""

    name: str
    latest_version: str | None
    is_official: bool
    owners: tuple[str, ...]
    versions: tuple[VersionSummary, ...]
    facets: tuple[str, ...]


async def package_detail(services: Services, name: PackageName) -> PackageDetail:
    """The package with this name. Raises NotFound."""
    async with services.database.reading() as tx:
        package = await detail_of(tx, name)
    rows = {row.version: row for row in package.versions}
    return PackageDetail(
        name=name,
        latest_version=package.latest_version,
        is_official=services.settings.official_handle in package.owners,
        owners=tuple(package.owners),
        versions=tuple(rows[version] for version in reversed(sort_ascending(rows))),
        facets=facets_of(name, package.meta),
    )
