"""Finds or creates the account that a GitHub user signs in to (contract, 5.4: account resolution)."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

import structlog
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from api.write.queries import packages, users
from api.write.queries.users import Profile, User
from shared.names import Handle, PackageName, read_handle
from shared.sign_in_errors import HandleTaken

BOOTSTRAP = "bootstrap"

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Account:
    """An account that somebody signed in to.

    changed: packages that now show their owner under another name, with the generations to publish.
    """

    user_id: UUID
    changed: tuple[tuple[PackageName, int], ...] = ()


async def resolve_account(tx: AsyncConnection, profile: Profile) -> Account:
    """Find, attach or create the account of a GitHub user, and record the profile from GitHub.

    Raises InvalidName for a login that cannot be a handle, HandleTaken.
    """
    handle = read_handle(profile.github_login)
    user = await _existing(tx, profile, handle)
    if user is None:
        user_id = await users.add(tx, handle, profile)
        if user_id is not None:
            return Account(user_id)
        # Another user has the handle, or a concurrent sign-in of the same person has just created the
        # account.
        user = await users.by_github_id(tx, profile.github_user_id)
        if user is None:
            raise HandleTaken
    await users.set_profile(tx, user.id, profile)
    return Account(user.id, await _renamed(tx, user, handle))


async def _existing(tx: AsyncConnection, profile: Profile, handle: Handle) -> User | None:
    """The user with this GitHub account, or else one without a GitHub account that may be attached to it."""
    user = await users.by_github_id(tx, profile.github_user_id)
    if user is not None:
        return user
    user = await users.unattached(tx, handle)
    if user is not None and not await _may_be_attached(tx, user):
        raise HandleTaken
    return user


async def _may_be_attached(tx: AsyncConnection, user: User) -> bool:
    """True if the account may be attached to any GitHub user whose login is its handle.

    An operator names a bootstrap account after its person's GitHub login, so a matching login is enough. But
    an administrator's account is the operator's own; a stranger at GitHub may have its handle as a login.
    """
    if user.created_via != BOOTSTRAP:
        return not await users.has_history(tx, user.id)
    if await users.is_admin(tx, user.id):
        log.warning("administrator_not_attached", user_id=str(user.id))
        return False
    return True


async def _renamed(tx: AsyncConnection, user: User, handle: Handle) -> tuple[tuple[PackageName, int], ...]:
    """Change the handle to the login if it is free. Returns the packages whose index entry changes by it."""
    if handle == user.handle:
        return ()
    try:
        async with tx.begin_nested():
            await users.rename(tx, user.id, handle)
    except IntegrityError:
        log.info("handle_kept", user_id=str(user.id))
        return ()
    owned = await users.owned_packages(tx, user.id)
    return tuple([(name, await packages.raise_generation(tx, package_id)) for package_id, name in owned])
