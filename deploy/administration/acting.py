"""On whose behalf a command changes something: the audit trail names a user of the registry."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from api.write.app import open_services
from api.write.endpoint import Scope
from api.write.principal import Principal
from api.write.queries import owners
from api.write.services import Services
from shared.errors import NotFound
from shared.names import Handle
from shared.settings import Settings


@asynccontextmanager
async def acting_as(settings: Settings, handle: Handle) -> AsyncIterator[tuple[Services, Principal]]:
    """The services of a write process, and this user with an administrator's rights.

    Whoever can reach the database may do anything to it: the handle says who, it proves nothing.
    Raises NotFound for a user that does not exist.
    """
    async with open_services(settings) as services:
        async with services.database.transaction() as tx:
            user_id = await owners.user_id_of(tx, handle)
        if user_id is None:
            raise NotFound(f'there is no user "{handle}" to act as; name one with --by')
        yield services, Principal(user_id, handle, None, (Scope.ADMIN,), email_verified=True)
