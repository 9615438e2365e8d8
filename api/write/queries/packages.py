"""SQL on packages, their owners and their generations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import exists, func, select, text, update
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.database import Database
from shared.errors import NotFound
from shared.locks import package_lock_key
from shared.names import PackageName
from shared.tables import index_state, package_owners, packages, tree_state, users


@dataclass(frozen=True, slots=True)
class Package:
    """A package's row."""

    id: UUID
    name: str
    latest_version: str | None


_PACKAGE = select(packages.c.id, packages.c.name, packages.c.latest_version)


async def lock(tx: AsyncConnection, name: PackageName) -> None:
    """Take the per-package lock until the transaction ends (contract, 8.3).

    Every write to a package takes this lock first; the older server does so too.
    """
    await tx.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": package_lock_key(name)})


async def find(tx: AsyncConnection, name: PackageName) -> Package | None:
    """The package with this name (packages_name_key)."""
    row = (await tx.execute(_PACKAGE.where(packages.c.name == name))).one_or_none()
    return Package(**row._mapping) if row is not None else None


async def get(tx: AsyncConnection, name: PackageName) -> Package:
    """The package with this name. Raises NotFound."""
    package = await find(tx, name)
    if package is None:
        raise NotFound.package(name)
    return package


async def is_owner(tx: AsyncConnection, package_id: UUID, user_id: UUID) -> bool:
    """True if the user owns the package (package_owners' primary key)."""
    owned = exists().where(package_owners.c.package_id == package_id, package_owners.c.user_id == user_id)
    return bool((await tx.execute(select(owned))).scalar_one())


async def is_owned(tx: AsyncConnection, name: PackageName, user_id: UUID) -> bool:
    """True if there is such a package and the user owns it (packages_name_key, primary key)."""
    owned = exists().where(
        packages.c.name == name,
        package_owners.c.package_id == packages.c.id,
        package_owners.c.user_id == user_id,
    )
    return bool((await tx.execute(select(owned))).scalar_one())


async def owner_handles(tx: AsyncConnection, package_id: UUID) -> list[str]:
    """Handles of the owners, in byte order (package_owners' primary key)."""
    statement = (
        select(users.c.handle)
        .join(package_owners)
        .where(package_owners.c.package_id == package_id)
        .order_by(users.c.handle.collate("C"))
    )
    return list((await tx.execute(statement)).scalars())


async def set_latest_version(tx: AsyncConnection, package_id: UUID, version: str | None) -> None:
    """Set the version that readers get when they name none."""
    await tx.execute(update(packages).where(packages.c.id == package_id).values(latest_version=version))


async def raise_generation(tx: AsyncConnection, package_id: UUID) -> int:
    """Mark the package dirty, because readers must see a change. Returns the new generation."""
    statement = upsert(index_state).values(package_id=package_id, dirty_since=func.now())
    statement = statement.on_conflict_do_update(
        index_elements=[index_state.c.package_id],
        set_={
            "generation": index_state.c.generation + 1,
            "dirty_since": func.coalesce(index_state.c.dirty_since, func.now()),
        },
    )
    return int((await tx.execute(statement.returning(index_state.c.generation))).scalar_one())


async def last_catalog_generation(database: Database) -> int:
    """The number of the last catalog that the database knows of (shared/high_water.py)."""
    async with database.reading() as connection:
        return int((await connection.execute(select(tree_state.c.catalog_generation))).scalar_one())


async def published_generations(tx: AsyncConnection, package_ids: Sequence[UUID]) -> dict[UUID, int]:
    """The published generations of packages; 0 if nothing is published yet (primary key)."""
    columns = index_state.c.package_id, index_state.c.published_generation
    rows = await tx.execute(select(*columns).where(columns[0].in_(package_ids)))
    return {package_id: generation or 0 for package_id, generation in rows}


async def is_published(tx: AsyncConnection, package_id: UUID) -> bool:
    """True if every change of the package so far is published (primary key)."""
    clean = exists().where(
        index_state.c.package_id == package_id,
        index_state.c.published_generation >= index_state.c.generation,
    )
    return bool((await tx.execute(select(clean))).scalar_one())
