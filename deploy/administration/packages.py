"""The operator's view of one package."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy.ext.asyncio import AsyncConnection

from api.write.queries import packages, tombstones, versions
from api.write.queries.tombstones import Tombstone
from api.write.queries.versions import VersionSummary
from shared.names import PackageName
from shared.versions import sort_ascending


@dataclass(frozen=True, slots=True)
class PackageView:
    """A package. versions: descending SemVer. removed: oldest removal first."""

    name: str
    latest_version: str | None
    owners: list[str]
    versions: list[VersionSummary]
    removed: list[Tombstone]


async def view_of(tx: AsyncConnection, name: PackageName) -> PackageView:
    """The package with this name. Raises NotFound."""
    package = await packages.get(tx, name)
    rows = {row.version: row for row in await versions.summaries(tx, package.id)}
    return PackageView(
        name=package.name,
        latest_version=package.latest_version,
        owners=await packages.owner_handles(tx, package.id),
        versions=[rows[version] for version in reversed(sort_ascending(rows))],
        removed=await tombstones.of_package(tx, package.id),
    )
