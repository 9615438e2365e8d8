"""SQL that reads all of a package in one statement, and so in one snapshot and one round trip."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncConnection

from api.write.queries.versions import VersionSummary
from shared.errors import NotFound
from shared.names import PackageName
from shared.strict_json import Json

_OWNERS: Final = """
    ARRAY(
        SELECT u.handle FROM package_owners o JOIN users u ON u.id = o.user_id
        WHERE o.package_id = p.id ORDER BY u.handle COLLATE "C"
    ) AS owners
"""
_HANDLES: Final = text(f"SELECT {_OWNERS} FROM packages p WHERE p.name = :name")  # noqa: S608 - no value in it
_DETAIL: Final = text(
    f"""
    SELECT p.latest_version, {_OWNERS}, all_of_it.*, latest.meta
    FROM packages p
    CROSS JOIN LATERAL (
        SELECT array_agg(v.version) AS versions, array_agg(v.cksum) AS cksums,
               array_agg(v.yanked) AS yanked, array_agg(v.published_at) AS published_at
        FROM package_versions v WHERE v.package_id = p.id
    ) all_of_it
    LEFT JOIN LATERAL (
        SELECT v.manifest -> 'meta' AS meta
        FROM package_versions v WHERE v.package_id = p.id AND v.version = p.latest_version
    ) latest ON true
    WHERE p.name = :name
    """  # noqa: S608 - no value in it
).columns(meta=JSONB)


@dataclass(frozen=True, slots=True)
class PackageRows:
    """A package. owners: handles, in byte order. versions: in no order. meta: of the latest version."""

    latest_version: str | None
    owners: Sequence[str]
    versions: Sequence[VersionSummary]
    meta: Json


async def owners_of(tx: AsyncConnection, name: PackageName) -> list[str]:
    """Handles of a package's owners, in byte order (packages_name_key, primary keys). Raises NotFound."""
    handles: list[str] | None = (await tx.execute(_HANDLES, {"name": name})).scalar_one_or_none()
    if handles is None:
        raise NotFound
    return handles


async def detail_of(tx: AsyncConnection, name: PackageName) -> PackageRows:
    """All of a package (packages_name_key, primary keys). Raises NotFound."""
    row = (await tx.execute(_DETAIL, {"name": name})).one_or_none()
    if row is None:
        raise NotFound
    columns = row.versions or (), row.cksums or (), row.yanked or (), row.published_at or ()
    return PackageRows(
        latest_version=row.latest_version,
        owners=row.owners,
        versions=[VersionSummary(*version) for version in zip(*columns, strict=True)],
        meta=row.meta,
    )
