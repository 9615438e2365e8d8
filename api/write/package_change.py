"""The rules that all changes of an existing package share: yank, owners, advisories (contract, 6).

An owner or an admin makes the change, in one transaction under the package's lock. The transaction also
records the change. The answer waits until readers see it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection
from structlog.contextvars import bind_contextvars

from api.write.principal import Principal
from api.write.private_packages import require_seen
from api.write.queries import audit, packages, tombstones
from api.write.services import Services
from shared.errors import Forbidden, NotFound, RegistryError
from shared.names import PackageName

log = structlog.get_logger()


@asynccontextmanager
async def changing(
    services: Services, caller: Principal, name: PackageName, missing: RegistryError | None = None
) -> AsyncIterator[AsyncConnection]:
    """A transaction that changes a package. Raises PackageBusy, DatabaseBehind.

    missing: the answer for a private package that the caller does not see; NotFound of the package if absent.
    """
    await services.high_water.require()
    await require_seen(services, caller, name, missing or NotFound.package(name))
    async with services.turns.of(name), services.database.transaction() as tx:
        yield tx


async def lock_package(tx: AsyncConnection, name: PackageName) -> packages.Package:
    """Lock the package until the transaction ends. Raises NotFound."""
    bind_contextvars(package=name)
    await packages.lock(tx, name)
    return await packages.get(tx, name)


async def require_owner(tx: AsyncConnection, caller: Principal, package: packages.Package) -> None:
    """Raise Forbidden for who neither owns the package nor is an admin, or has a token for other packages."""
    caller.limits.require_package(package.name)
    if not caller.is_admin and not await packages.is_owner(tx, package.id, caller.user_id):
        raise Forbidden("not a package owner")


async def lock_owned(tx: AsyncConnection, caller: Principal, name: PackageName) -> packages.Package:
    """Lock and return a package that the caller owns or administers. Raises NotFound, then Forbidden."""
    package = await lock_package(tx, name)
    await require_owner(tx, caller, package)
    return package


async def missing_version(tx: AsyncConnection, package: packages.Package, version: str) -> NotFound:
    """The error for a version that has no row. It tells whether the version was removed."""
    is_removed = await tombstones.has(tx, package.id, version)
    return (NotFound.removed_version if is_removed else NotFound.version)(package.name, version)


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

    generation: the package's generation after the change; the wait for it has a time limit. None: the change
    is not visible to readers, so there is nothing to wait for.
    """
    if generation is not None:
        return await services.visibility.wake_and_wait(package.name, package.id, generation)
    async with services.database.transaction() as tx:
        return await packages.is_published(tx, package.id)
