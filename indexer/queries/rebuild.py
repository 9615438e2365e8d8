"""SQL that restores rows from the published tree; indexer/upkeep/restoration.py decides which."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from msgspec.structs import asdict
from sqlalchemy import delete, func, select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.provenance import Provenance
from shared.tables import (
    index_state,
    package_owners,
    package_version_advisories,
    package_versions,
    packages,
    users,
    version_provenance,
    version_tombstones,
)


@dataclass(frozen=True, slots=True)
class StoredVersion:
    """A version in its row."""

    cksum: str
    yanked: bool


@dataclass(frozen=True, slots=True)
class StoredAdvisory:
    """An advisory in its row."""

    version: str
    is_withdrawn: bool


@dataclass(frozen=True, slots=True)
class StoredPackage:
    """A package as its rows have it. id, generation: None and 0 if the package has no row.

    is_clean: no change waits to be published. advisories: by id, as text. owners: handles. removed: versions
    that were removed for legal reasons.
    """

    id: UUID | None = None
    generation: int = 0
    is_clean: bool = True
    versions: Mapping[str, StoredVersion] = field(default_factory=dict)
    advisories: Mapping[str, StoredAdvisory] = field(default_factory=dict)
    owners: frozenset[str] = frozenset()
    removed: frozenset[str] = frozenset()


async def stored_package(tx: AsyncConnection, name: str) -> StoredPackage:
    """The rows that a restore compares (packages_name_key, primary keys)."""
    heads = select(packages.c.id, index_state.c.generation, index_state.c.published_generation).outerjoin(
        index_state, index_state.c.package_id == packages.c.id
    )
    head = (await tx.execute(heads.where(packages.c.name == name))).one_or_none()
    if head is None:
        return StoredPackage()
    columns = (package_versions.c.version, package_versions.c.cksum, package_versions.c.yanked)
    versions = await tx.execute(select(*columns).where(package_versions.c.package_id == head.id))
    table = package_version_advisories
    advisories = await tx.execute(
        select(table.c.id, table.c.version, table.c.withdrawn_at).where(table.c.package_id == head.id)
    )
    owned = package_owners.join(users, users.c.id == package_owners.c.user_id)
    owners = await tx.execute(
        select(users.c.handle).select_from(owned).where(package_owners.c.package_id == head.id)
    )
    removed = await tx.execute(
        select(version_tombstones.c.version).where(version_tombstones.c.package_id == head.id)
    )
    return StoredPackage(
        id=head.id,
        generation=head.generation or 0,
        is_clean=head.generation is not None and head.published_generation >= head.generation,
        versions={row.version: StoredVersion(row.cksum, row.yanked) for row in versions},
        advisories={
            str(row.id): StoredAdvisory(row.version, row.withdrawn_at is not None) for row in advisories
        },
        owners=frozenset(owners.scalars()),
        removed=frozenset(removed.scalars()),
    )


async def handles_among(tx: AsyncConnection, handles: Collection[str]) -> set[str]:
    """The handles among these that belong to a user (users_handle_key)."""
    return set((await tx.execute(select(users.c.handle).where(users.c.handle.in_(handles)))).scalars())


async def put_user(tx: AsyncConnection, handle: str) -> UUID:
    """The user with this handle.

    A missing user is created, without a token or a way to sign in (users_handle_key).
    """
    await tx.execute(insert(users).values(handle=handle).on_conflict_do_nothing())
    user_id: UUID = (await tx.execute(select(users.c.id).where(users.c.handle == handle))).scalar_one()
    return user_id


async def put_package(tx: AsyncConnection, name: str, creator: UUID) -> UUID:
    """The package. A missing package is created, without an owner (packages_name_key)."""
    await tx.execute(insert(packages).values(name=name, created_by=creator).on_conflict_do_nothing())
    package_id: UUID = (await tx.execute(select(packages.c.id).where(packages.c.name == name))).scalar_one()
    return package_id


async def add_version(
    tx: AsyncConnection, package_id: UUID, publisher: UUID, values: dict[str, Any], published_at: datetime
) -> None:
    """Insert a version whose archive is published. values: the other columns."""
    row = {"package_id": package_id, "published_by": publisher, "published_at": published_at, **values}
    await tx.execute(insert(package_versions).values(row))


async def add_provenance(tx: AsyncConnection, package_id: UUID, version: str, build: Provenance) -> None:
    """Insert which build published a version."""
    row = {"package_id": package_id, "version": version, "provenance": asdict(build)}
    await tx.execute(insert(version_provenance).values(row))


async def set_yanked(tx: AsyncConnection, package_id: UUID, yanks: Sequence[tuple[str, bool]]) -> None:
    """Yank or restore versions (primary key)."""
    for version, yanked in yanks:
        key = (package_versions.c.package_id == package_id) & (package_versions.c.version == version)
        await tx.execute(update(package_versions).where(key).values(yanked=yanked))


async def add_advisories(tx: AsyncConnection, package_id: UUID, rows: list[dict[str, Any]]) -> None:
    """Insert advisories of versions that have a row; existing advisories stay as they are (primary key)."""
    if rows:
        values = [{"package_id": package_id, **row} for row in rows]
        await tx.execute(insert(package_version_advisories).values(values).on_conflict_do_nothing())


async def withdraw_advisories(tx: AsyncConnection, advisory_ids: Sequence[str]) -> None:
    """Withdraw advisories, without recording by whom, because that is unknown (primary key)."""
    table = package_version_advisories
    keys = table.c.id.in_([UUID(advisory_id) for advisory_id in advisory_ids])
    await tx.execute(update(table).where(keys).values(withdrawn_at=func.now()))


async def change_owners(
    tx: AsyncConnection, package_id: UUID, *, come: Sequence[str], gone: Sequence[str]
) -> None:
    """Add owners and remove owners; every handle must have a user (users_handle_key)."""
    ids = {
        row.handle: row.id
        for row in await tx.execute(
            select(users.c.id, users.c.handle).where(users.c.handle.in_([*come, *gone]))
        )
    }
    if gone:
        former = package_owners.c.user_id.in_([ids[handle] for handle in gone])
        await tx.execute(delete(package_owners).where(package_owners.c.package_id == package_id, former))
    if come:
        rows = [{"package_id": package_id, "user_id": ids[handle]} for handle in come]
        await tx.execute(insert(package_owners).values(rows).on_conflict_do_nothing())


_RAISE_ABOVE = text(
    """
    INSERT INTO index_state (package_id, generation, dirty_since)
    VALUES (:package_id, CAST(:generation AS bigint) + 1, now())
    ON CONFLICT (package_id) DO UPDATE
    SET generation = GREATEST(index_state.generation, CAST(:generation AS bigint)) + 1,
        dirty_since = COALESCE(index_state.dirty_since, now())
    """
)


async def raise_generation_above(tx: AsyncConnection, package_id: UUID, generation: int) -> None:
    """Make a package dirty, with a generation above both this one and its own (primary key)."""
    await tx.execute(_RAISE_ABOVE, {"package_id": package_id, "generation": generation})


async def set_latest_version(tx: AsyncConnection, package_id: UUID, version: str | None) -> None:
    """Set the version that readers get when they name none (primary key)."""
    await tx.execute(update(packages).where(packages.c.id == package_id).values(latest_version=version))
