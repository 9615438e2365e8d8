"""SQL that puts back what the published tree says; nothing that is there already is changed."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.tables import package_version_advisories, package_versions, packages, users


@dataclass(frozen=True, slots=True)
class StoredVersion:
    """What a row says of a version that the tree has too."""

    cksum: str
    yanked: bool


async def put_user(tx: AsyncConnection, handle: str) -> UUID:
    """The user of this handle, made when missing; without a token or a way to sign in (users_handle_key)."""
    await tx.execute(insert(users).values(handle=handle).on_conflict_do_nothing())
    user_id: UUID = (await tx.execute(select(users.c.id).where(users.c.handle == handle))).scalar_one()
    return user_id


async def put_package(tx: AsyncConnection, name: str, creator: UUID) -> UUID:
    """The package, made without an owner when missing (packages_name_key)."""
    await tx.execute(insert(packages).values(name=name, created_by=creator).on_conflict_do_nothing())
    package_id: UUID = (await tx.execute(select(packages.c.id).where(packages.c.name == name))).scalar_one()
    return package_id


async def stored_versions(tx: AsyncConnection, package_id: UUID) -> dict[str, StoredVersion]:
    """The versions that have a row (primary key)."""
    columns = (package_versions.c.version, package_versions.c.cksum, package_versions.c.yanked)
    result = await tx.execute(select(*columns).where(package_versions.c.package_id == package_id))
    return {row.version: StoredVersion(row.cksum, row.yanked) for row in result}


async def add_version(
    tx: AsyncConnection, package_id: UUID, publisher: UUID, values: dict[str, Any], published_at: datetime
) -> None:
    """Insert a version whose archive is published. values: the other columns."""
    row = {"package_id": package_id, "published_by": publisher, "published_at": published_at, **values}
    await tx.execute(insert(package_versions).values(row))


async def add_advisories(tx: AsyncConnection, package_id: UUID, rows: list[dict[str, Any]]) -> None:
    """Insert advisories of versions that have a row; those that are there stay (primary key)."""
    if rows:
        values = [{"package_id": package_id, **row} for row in rows]
        await tx.execute(insert(package_version_advisories).values(values).on_conflict_do_nothing())


async def set_latest_version(tx: AsyncConnection, package_id: UUID, version: str | None) -> None:
    """Record the version that readers get when they name none (primary key)."""
    await tx.execute(update(packages).where(packages.c.id == package_id).values(latest_version=version))
