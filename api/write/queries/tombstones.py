"""SQL that removes a version permanently. The caller has locked the package."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import delete, exists, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.tables import package_versions, version_tombstones


@dataclass(frozen=True, slots=True)
class Tombstone:
    """A version that was removed. cksum: of its archive."""

    version: str
    cksum: str
    reason: str
    removed_at: datetime


async def bury(tx: AsyncConnection, package_id: UUID, version: str, reason: str) -> str | None:
    """Delete a version with its advisories, and leave a tombstone. Returns the archive's checksum.

    None if there is no such version (primary keys).
    """
    row = (package_versions.c.package_id == package_id, package_versions.c.version == version)
    deleted = await tx.execute(delete(package_versions).where(*row).returning(package_versions.c.cksum))
    cksum: str | None = deleted.scalar_one_or_none()
    if cksum is not None:
        values = {"package_id": package_id, "version": version, "cksum": cksum, "reason": reason}
        await tx.execute(insert(version_tombstones).values(values))
    return cksum


async def has(tx: AsyncConnection, package_id: UUID, version: str) -> bool:
    """True if the version was removed (primary key)."""
    row = (version_tombstones.c.package_id == package_id, version_tombstones.c.version == version)
    return bool((await tx.execute(select(exists().where(*row)))).scalar_one())


async def of_package(tx: AsyncConnection, package_id: UUID) -> list[Tombstone]:
    """The removed versions of a package, oldest first (primary key)."""
    columns = [version_tombstones.c[name] for name in ("version", "cksum", "reason", "removed_at")]
    statement = select(*columns).where(version_tombstones.c.package_id == package_id)
    result = await tx.execute(statement.order_by(version_tombstones.c.removed_at))
    return [Tombstone(**row._mapping) for row in result]
