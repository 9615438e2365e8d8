"""Lists, adds and removes owners of a package (contract, 6.1 and 6.2).

package_change.py checks that the caller is an owner or an admin.
"""

from __future__ import annotations

from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from api.write.package_change import changing, lock_owned, record, seen_by_readers
from api.write.principal import Principal
from api.write.queries import owners, packages, versions
from api.write.services import Services
from shared.errors import Forbidden, NotFound
from shared.names import Handle, PackageName


async def owners_of(services: Services, name: PackageName) -> list[str]:
    """Handles of the owners, in byte order, as the rows have them now. Raises NotFound."""
    async with services.database.reading() as tx:
        return await owners.handles_of(tx, name)


async def add_owner(services: Services, caller: Principal, name: PackageName, handle: Handle) -> bool:
    """Make a user an owner; an existing owner stays one. True if readers see the package as it is now.

    Raises NotFound (package, user), Forbidden.
    """
    async with changing(services, caller, name) as tx:
        package = await lock_owned(tx, caller, name)
        is_new = await owners.add(tx, package.id, await _user_id(tx, handle))
        await record(tx, caller, "owner_added", package, handle=handle)
        generation = await _raise_generation(services, tx, package, handle) if is_new else None
    return await seen_by_readers(services, package, generation)


async def remove_owner(services: Services, caller: Principal, name: PackageName, handle: Handle) -> bool:
    """Remove an owner, but never the last one. True if readers see the package as it is now.

    Raises NotFound (package, user, owner), Forbidden.
    """
    async with changing(services, caller, name) as tx:
        package = await lock_owned(tx, caller, name)
        user_id = await _user_id(tx, handle)
        if not await packages.is_owner(tx, package.id, user_id):
            raise NotFound("owner not found")
        if not await owners.has_other(tx, package.id, user_id):
            raise Forbidden("cannot remove last owner")
        await owners.remove(tx, package.id, user_id)
        await record(tx, caller, "owner_removed", package, handle=handle)
        generation = await _raise_generation(services, tx, package, handle)
    return await seen_by_readers(services, package, generation)


async def _raise_generation(
    services: Services, tx: AsyncConnection, package: packages.Package, handle: Handle
) -> int:
    """Mark the package dirty after this user became an owner or ceased to be one.

    If it is the official account, every document of the package changes. An interrupted publication may have
    put some documents although the rows do not say so, so the next one puts them all.
    """
    generation = await packages.raise_generation(tx, package.id)
    if handle == services.settings.official_handle:
        await versions.forget_documents(tx, package.id)
    return generation


async def _user_id(tx: AsyncConnection, handle: Handle) -> UUID:
    user_id = await owners.user_id_of(tx, handle)
    if user_id is None:
        raise NotFound("user not found")
    return user_id
