"""Which builds may publish a package: owners add, list and remove them, also before the first version.

A publisher publishes on behalf of the user who added it, and only while that user owns the package. A
publisher for a new name is pending: its first publish makes that user the owner. It does not reserve the
name, and it expires after 30 days.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from api.write.new_names import check_new_name
from api.write.package_change import changing, lock_owned, record, require_owner
from api.write.principal import Principal
from api.write.private_packages import require_seen
from api.write.private_readers import not_a_reader
from api.write.queries import audit, packages
from api.write.queries import trusted_publishers as rows
from api.write.queries.trusted_publishers import Publisher
from api.write.services import Services
from shared.errors import Conflict, Forbidden, NotFound
from shared.names import PackageName

MAX_PENDING: Final = 10
MAX_OF_PACKAGE: Final = 20

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Wanted:
    """A build to trust. repository, workflow: paths. environment: None for any, or none."""

    kind: str
    issuer: str
    repository: str
    workflow: str
    environment: str | None

    def is_same_as(self, other: Publisher) -> bool:
        """True if the publisher is for the same builds."""
        return (self.issuer, self.repository.lower(), self.workflow, self.environment) == (
            other.issuer,
            other.repository.lower(),
            other.workflow,
            other.environment,
        )


@dataclass(frozen=True, slots=True)
class Listed:
    """The publishers of a package, oldest first. trusted_publishing_only: tokens of people are refused."""

    publishers: Sequence[Publisher]
    trusted_publishing_only: bool


async def publishers_of(services: Services, caller: Principal, name: PackageName) -> Listed:
    """The publishers of a package, for its owners; of a free name, the caller's own.

    Raises NotFound for a free name without any, Forbidden.
    """
    caller.limits.require_package(name)
    await require_seen(services, caller, name, NotFound.package(name))
    async with services.database.transaction() as tx:
        package = await packages.find(tx, name)
        found = await rows.of_package(tx, name)
        if package is None:
            found = [each for each in found if each.user_id == caller.user_id or caller.is_admin]
            if not found:
                raise NotFound.package(name)
        else:
            await require_owner(tx, caller, package)
        return Listed(found, await rows.is_demanded(tx, [name]))


async def add_publisher(
    services: Services, caller: Principal, name: PackageName, wanted: Wanted
) -> Publisher:
    """Trust a build. If owners trust it already, it publishes on the caller's behalf from now on.

    Raises Forbidden if the caller does not own the package, the errors of check_new_name for a new name, and
    Conflict for too many publishers.
    """
    caller.limits.require_package(name)
    async with changing(services, caller, name, not_a_reader(name)) as tx:
        await packages.lock(tx, name)
        package = await packages.find(tx, name)
        if package is None:
            check_new_name(name, caller, None, services.settings.namespace_owners)
        elif not await packages.is_owner(tx, package.id, caller.user_id):
            # An admin neither: the build would publish on behalf of somebody who may not.
            raise Forbidden("not a package owner")
        found = _changeable(await rows.of_package(tx, name), caller, is_new=package is None)
        same = next((each for each in found if wanted.is_same_as(each)), None)
        if same is not None:
            publisher_id = same.id
            await rows.give_to(tx, publisher_id, caller.user_id)
        else:
            await _require_room(tx, caller, found, is_new=package is None)
            publisher_id = await _add(tx, caller, name, wanted)
        added = next(each for each in await rows.of_package(tx, name) if each.id == publisher_id)
        await _record(tx, caller, "trusted_publisher_added", added)
    return added


async def remove_publisher(
    services: Services, caller: Principal, name: PackageName, publisher_id: UUID
) -> None:
    """Remove a publisher, and revoke the tokens that it made. Raises NotFound, Forbidden."""
    caller.limits.require_package(name)
    missing = NotFound("trusted publisher not found")
    async with changing(services, caller, name, missing) as tx:
        await packages.lock(tx, name)
        package = await packages.find(tx, name)
        if package is not None:
            await require_owner(tx, caller, package)
        publisher = next((each for each in await rows.of_package(tx, name) if each.id == publisher_id), None)
        is_own = publisher is not None and (publisher.user_id == caller.user_id or caller.is_admin)
        if publisher is None or (package is None and not is_own):
            raise missing
        await rows.remove(tx, publisher_id)
        await _record(tx, caller, "trusted_publisher_removed", publisher)
    await services.notifier.queue_access()


async def demand_trusted_publishing(
    services: Services, caller: Principal, name: PackageName, is_demanded: bool
) -> None:
    """Refuse or accept versions that people publish with tokens. Raises NotFound, Forbidden."""
    async with changing(services, caller, name) as tx:
        package = await lock_owned(tx, caller, name)
        await rows.demand(tx, package.id, is_demanded)
        await record(tx, caller, "trusted_publishing_only", package, value=is_demanded)


def _changeable(found: Sequence[Publisher], caller: Principal, *, is_new: bool) -> list[Publisher]:
    """The publishers that the caller may change, the own ones first. is_new: nobody owns the name."""
    own = [each for each in found if each.user_id == caller.user_id]
    return own if is_new else [*own, *(each for each in found if each not in own)]


async def _require_room(
    tx: AsyncConnection, caller: Principal, found: Sequence[Publisher], *, is_new: bool
) -> None:
    if sum(each.user_id == caller.user_id for each in found) >= MAX_OF_PACKAGE:
        raise Conflict(f"you have {MAX_OF_PACKAGE} trusted publishers of this package; remove one first")
    if is_new and await rows.pending_of(tx, caller.user_id) >= MAX_PENDING:
        raise Conflict(
            f"you have {MAX_PENDING} trusted publishers that wait for a first version; publish or remove one"
        )


async def _add(tx: AsyncConnection, caller: Principal, name: PackageName, wanted: Wanted) -> UUID:
    return await rows.add(
        tx,
        name,
        caller.user_id,
        kind=wanted.kind,
        issuer=wanted.issuer,
        repository=wanted.repository,
        workflow=wanted.workflow,
        environment=wanted.environment,
    )


async def _record(tx: AsyncConnection, caller: Principal, action: str, publisher: Publisher) -> None:
    details = {
        "id": str(publisher.id),
        "issuer": publisher.issuer,
        "repository": publisher.repository,
        "workflow": publisher.workflow,
        "environment": publisher.environment,
    }
    await audit.record(
        tx,
        action,
        user_id=caller.user_id,
        token_id=caller.token_id,
        package=publisher.name,
        details=details,
    )
    log.info(action, package=publisher.name, publisher_id=str(publisher.id))
