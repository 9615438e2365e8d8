"""Which account a GitHub user signs in to (contract, 5.4: account resolution)."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

import structlog
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from api.write.path_params import read_handle
from api.write.queries import packages, users
from api.write.queries.users import Profile, User
from shared.errors import HandleTaken
from shared.names import Handle, PackageName

BOOTSTRAP = "bootstrap"

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Account:
    """An account that somebody signed in to.

    changed: packages whose `is_official` changed with the handle, with the generations to publish.
    """

    user_id: UUID
    changed: tuple[tuple[PackageName, int], ...] = ()


async def resolve_account(tx: AsyncConnection, profile: Profile, official_handle: str) -> Account:
    """The account of a GitHub user, found, attached or made, with GitHub's profile recorded.

    Raises InvalidName for a login that cannot be a handle, HandleTaken.
    """
    handle = read_handle(profile.github_login)
    user = await _existing(tx, profile, handle)
    if user is None:
        user_id = await users.add(tx, handle, profile)
        if user_id is not None:
            return Account(user_id)
        # Somebody has the handle; or this same person just signed in for the first time, elsewhere.
        user = await users.by_github_id(tx, profile.github_user_id)
        if user is None:
            raise HandleTaken
    await users.set_profile(tx, user.id, profile)
    return Account(user.id, await _renamed(tx, user, handle, official_handle))


async def _existing(tx: AsyncConnection, profile: Profile, handle: Handle) -> User | None:
    """The user with this GitHub account, or one without an account that may be given to it."""
    user = await users.by_github_id(tx, profile.github_user_id)
    if user is not None:
        return user
    user = await users.unattached(tx, handle)
    if user is not None and user.created_via != BOOTSTRAP and await users.has_history(tx, user.id):
        raise HandleTaken
    return user


async def _renamed(
    tx: AsyncConnection, user: User, handle: Handle, official_handle: str
) -> tuple[tuple[PackageName, int], ...]:
    """Let the handle follow the login if it is free; the packages whose readers see a difference."""
    if handle == user.handle:
        return ()
    try:
        async with tx.begin_nested():
            await users.rename(tx, user.id, handle)
    except IntegrityError:
        log.info("handle_kept", user_id=str(user.id))
        return ()
    if official_handle not in (user.handle, handle):
        return ()
    owned = await users.owned_packages(tx, user.id)
    return tuple([(name, await packages.raise_generation(tx, package_id)) for package_id, name in owned])
