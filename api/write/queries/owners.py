"""SQL on the owners of a package. For a change, the caller has locked the package."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import delete, exists, select, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.errors import NotFound
from shared.names import Handle, PackageName
from shared.tables import package_owners, users

_HANDLES = text(
    """
    SELECT ARRAY(
        SELECT u.handle FROM package_owners o JOIN users u ON u.id = o.user_id
        WHERE o.package_id = p.id ORDER BY u.handle COLLATE "C"
    ) FROM packages p WHERE p.name = :name
    """
)


async def handles_of(tx: AsyncConnection, name: PackageName) -> list[str]:
    """Handles of a package's owners, in byte order (packages_name_key, primary keys). Raises NotFound."""
    handles: list[str] | None = (await tx.execute(_HANDLES, {"name": name})).scalar_one_or_none()
    if handles is None:
        raise NotFound.package(name)
    return handles


async def user_id_of(tx: AsyncConnection, handle: Handle) -> UUID | None:
    """The user with this handle (users_handle_key)."""
    statement = select(users.c.id).where(users.c.handle == handle)
    user_id: UUID | None = (await tx.execute(statement)).scalar_one_or_none()
    return user_id


async def add(tx: AsyncConnection, package_id: UUID, user_id: UUID) -> bool:
    """Make the user an owner; False if the user is one already (package_owners' primary key)."""
    statement = insert(package_owners).values(package_id=package_id, user_id=user_id)
    return (await tx.execute(statement.on_conflict_do_nothing())).rowcount == 1


async def has_other(tx: AsyncConnection, package_id: UUID, user_id: UUID) -> bool:
    """True if another user owns the package as well (package_owners' primary key)."""
    other = exists().where(package_owners.c.package_id == package_id, package_owners.c.user_id != user_id)
    return bool((await tx.execute(select(other))).scalar_one())


async def remove(tx: AsyncConnection, package_id: UUID, user_id: UUID) -> None:
    """Remove the user from the owners (package_owners' primary key)."""
    await tx.execute(
        delete(package_owners).where(
            package_owners.c.package_id == package_id, package_owners.c.user_id == user_id
        )
    )
