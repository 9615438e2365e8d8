"""Changes on behalf of a user, whom the audit trail names."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from api.write.app import open_services
from api.write.endpoint import Scope
from api.write.principal import Principal
from api.write.queries import owners
from api.write.services import Services
from deploy.administration import queries
from shared.errors import NotFound
from shared.names import Handle
from shared.settings import Settings

DEFAULT_ACTOR = Handle("admin")


@asynccontextmanager
async def acting_as(settings: Settings, handle: Handle | None) -> AsyncIterator[tuple[Services, Principal]]:
    """The services of a write process, and this user with an administrator's rights.

    handle: None for the first administrator, or the user `admin` where there is none.
    The handle is not proof of identity, because anyone who can reach the database can do anything to it.
    Raises NotFound for a user that does not exist.
    """
    async with open_services(settings) as services:
        async with services.database.transaction() as tx:
            if handle is None:
                first = await queries.first_admin(tx)
                handle = first.handle if first else DEFAULT_ACTOR
            user_id = await owners.user_id_of(tx, handle)
        if user_id is None:
            raise NotFound(f'there is no user "{handle}" to act as; name one with --by')
        yield services, Principal(user_id, handle, None, (Scope.ADMIN,), email_verified=True)
