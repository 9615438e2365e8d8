"""Owners of a package: listed, added and removed (contract, 6.1 and 6.2).

That a change needs an owner is said in package_change.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from api.write.package_change import lock_owned, record, seen_by_readers
from api.write.principal import Principal
from api.write.queries import owners, package_details, packages
from api.write.services import Services
from shared.errors import Forbidden, NotFound
from shared.names import Handle, PackageName


@dataclass(frozen=True, slots=True)
class Owners:
    """Who owns a package. handles: in byte order. is_official: the official handle is among them."""

    handles: tuple[str, ...]
    is_official: bool


async def owners_of(services: Services, name: PackageName) -> Owners:
    """Who owns the package. Raises NotFound."""
    async with services.database.reading() as tx:
        handles = tuple(await package_details.owners_of(tx, name))
    return Owners(handles, services.settings.official_handle in handles)


async def add_owner(services: Services, caller: Principal, name: PackageName, handle: Handle) -> bool:
    """Make a user an owner; one who is stays so. True if readers see the package as it is now.

    Raises NotFound (package, user), Forbidden.
    """
    async with services.database.transaction() as tx:
        package = await lock_owned(tx, caller, name)
        is_new = await owners.add(tx, package.id, await _user_id(tx, handle))
        await record(tx, caller, "owner_added", package, handle=handle)
        generation = await _raise_generation(tx, services, package, handle) if is_new else None
    return await seen_by_readers(services, package, generation)


async def remove_owner(services: Services, caller: Principal, name: PackageName, handle: Handle) -> bool:
    """Take ownership from a user; the last owner stays. True if readers see the package as it is now.

    Raises NotFound (package, user, owner), Forbidden.
    """
    async with services.database.transaction() as tx:
        package = await lock_owned(tx, caller, name)
        user_id = await _user_id(tx, handle)
        if not await packages.is_owner(tx, package.id, user_id):
            raise NotFound("owner not found")
        if not await owners.has_other(tx, package.id, user_id):
            raise Forbidden("cannot remove last owner")
        await owners.remove(tx, package.id, user_id)
        await record(tx, caller, "owner_removed", package, handle=handle)
        generation = await _raise_generation(tx, services, package, handle)
    return await seen_by_readers(services, package, generation)


async def _user_id(tx: AsyncConnection, handle: Handle) -> UUID:
    user_id = await owners.user_id_of(tx, handle)
    if user_id is None:
        raise NotFound("user not found")
    return user_id


async def _raise_generation(
    tx: AsyncConnection, services: Services, package: packages.Package, handle: Handle
) -> int | None:
    """All that readers see of owners is `is_official`: only the official handle changes it."""
    if handle != services.settings.official_handle:
        return None
    return await packages.raise_generation(tx, package.id)
