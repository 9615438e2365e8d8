"""Which private packages of a public registry a caller may see: an answer for others tells of none.

A caller sees the packages of the patterns that list it as a reader, and the packages that it owns;
administrators see all. For everybody else a private package is answered like one that does not exist. Whether
it exists is not even looked up, so the time of an answer does not tell it either.
"""

from __future__ import annotations

from dataclasses import dataclass

from starlette.requests import Request

from api.write.authentication import authenticate
from api.write.endpoint import Auth, Scope
from api.write.principal import Principal
from api.write.private_readers import reads_all
from api.write.queries import packages
from api.write.services import Services, services_of
from shared.credential_errors import AuthExpired, AuthInvalid, AuthRequired
from shared.errors import RegistryError
from shared.names import PackageName
from shared.private_names import is_private


@dataclass(frozen=True, slots=True)
class ReaderDemand:
    """A credential of either kind that may read."""

    method: str = "GET"
    auth: Auth = Auth.EITHER
    scope: Scope = Scope.READ


async def sees(services: Services, caller: Principal, name: PackageName) -> bool:
    """True if the package is public, or the caller may see it."""
    namespaces = services.settings.private_namespaces
    if not is_private(name, namespaces) or reads_all(caller, name, namespaces):
        return True
    async with services.database.reading() as connection:
        return await packages.is_owned(connection, name, caller.user_id)


async def require_seen(
    services: Services, caller: Principal, name: PackageName, missing: RegistryError
) -> None:
    """Raise `missing`, the answer for a package that does not exist, unless the caller sees the package."""
    if not await sees(services, caller, name):
        raise missing


async def is_hidden(request: Request, name: PackageName) -> bool:
    """True if the package is private, and the request has no credential of somebody who may read it."""
    services = services_of(request)
    if not is_private(name, services.settings.private_namespaces):
        return False
    try:
        caller = await authenticate(services, request, ReaderDemand())
    except (AuthRequired, AuthInvalid, AuthExpired):
        return True
    limits = caller.limits.packages
    return not await sees(services, caller, name) or (limits is not None and not is_private(name, limits))
