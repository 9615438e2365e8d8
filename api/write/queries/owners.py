"""SQL that changes who owns a package; the package is locked by the caller."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import delete, exists, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.names import Handle
from shared.tables import package_owners, users


async def user_id_of(tx: AsyncConnection, handle: Handle) -> UUID | None:
    """The user with this handle (users_handle_key)."""
    statement = select(users.c.id).where(users.c.handle == handle)
    user_id: UUID | None = (await tx.execute(statement)).scalar_one_or_none()
    return user_id


async def add(tx: AsyncConnection, package_id: UUID, user_id: UUID) -> bool:
    """Make the user an owner; False if it is one already (package_owners' primary key)."""
    statement = insert(package_owners).values(package_id=package_id, user_id=user_id)
    return (await tx.execute(statement.on_conflict_do_nothing())).rowcount == 1


async def has_other(tx: AsyncConnection, package_id: UUID, user_id: UUID) -> bool:
    """True if somebody else owns the package too (package_owners' primary key)."""
    other = exists().where(package_owners.c.package_id == package_id, package_owners.c.user_id != user_id)
    return bool((await tx.execute(select(other))).scalar_one())


async def remove(tx: AsyncConnection, package_id: UUID, user_id: UUID) -> None:
    """Take ownership from the user (package_owners' primary key)."""
    await tx.execute(
        delete(package_owners).where(
            package_owners.c.package_id == package_id, package_owners.c.user_id == user_id
        )
    )
