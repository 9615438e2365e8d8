"""What every change of a package that exists has in common (contract, 6).

It is made by an owner or an admin, in one transaction under the package's lock, it is recorded in
that transaction, and it is over when readers see it.
"""

from __future__ import annotations

from typing import Any

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection
from structlog.contextvars import bind_contextvars

from api.write.principal import Principal
from api.write.publication import published
from api.write.queries import audit, packages
from api.write.services import Services
from shared.errors import Forbidden
from shared.names import PackageName

log = structlog.get_logger()


async def lock_package(tx: AsyncConnection, name: PackageName) -> packages.Package:
    """The package, which nobody else changes until the transaction ends. Raises NotFound."""
    bind_contextvars(package=name)
    await packages.lock(tx, name)
    return await packages.get(tx, name)


async def require_owner(tx: AsyncConnection, caller: Principal, package: packages.Package) -> None:
    """Raise Forbidden for a caller who neither owns the package nor is an admin."""
    if not caller.is_admin and not await packages.is_owner(tx, package.id, caller.user_id):
        raise Forbidden("not a package owner")


async def lock_owned(tx: AsyncConnection, caller: Principal, name: PackageName) -> packages.Package:
    """The locked package of an owner or admin. Raises NotFound, then Forbidden."""
    package = await lock_package(tx, name)
    await require_owner(tx, caller, package)
    return package


async def record(
    tx: AsyncConnection,
    caller: Principal,
    action: str,
    package: packages.Package,
    version: str | None = None,
    **details: Any,
) -> None:
    """Write the change's audit event, and a log line (contract, 8.2)."""
    await audit.record(
        tx,
        action,
        user_id=caller.user_id,
        token_id=caller.token_id,
        package=package.name,
        version=version,
        details=details,
    )
    log.info("package_changed", action=action, package=package.name, version=version)


async def seen_by_readers(services: Services, package: packages.Package, generation: int | None) -> bool:
    """True if readers see the package as it is now.

    generation: what the change raised it to, which is waited for, bounded; None when the change was
    none that readers see, and then nothing is waited for.
    """
    if generation is not None:
        return await published(services, package.name, package.id, generation)
    async with services.database.transaction() as tx:
        return await packages.is_published(tx, package.id)
