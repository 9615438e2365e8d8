"""What the registry knows of a package."""

from __future__ import annotations

from dataclasses import dataclass

from api.write.queries import packages, versions
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
    versions: tuple[versions.VersionSummary, ...]
    facets: tuple[str, ...]


async def package_detail(services: Services, name: PackageName) -> PackageDetail:
    """The package with this name. Raises NotFound."""
    async with services.database.transaction("REPEATABLE READ") as tx:
        package = await packages.get(tx, name)
        owners = await packages.owner_handles(tx, package.id)
        rows = {row.version: row for row in await versions.summaries(tx, package.id)}
        manifest = await versions.manifest_of(tx, package.id, package.latest_version or "")
    return PackageDetail(
        name=package.name,
        latest_version=package.latest_version,
        is_official=services.settings.official_handle in owners,
        owners=tuple(owners),
        versions=tuple(rows[version] for version in reversed(sort_ascending(rows))),
        facets=tuple(facets_of(package.name, manifest.get("meta"))),
    )
