"""SQL on users, for signing in with GitHub."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import any_, exists, literal, or_, select, update
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.names import Handle, PackageName
from shared.tables import package_owners, package_versions, packages, tokens, users


@dataclass(frozen=True, slots=True)
class User:
    """A user's row."""

    id: UUID
    handle: str
    created_via: str


@dataclass(frozen=True, slots=True)
class Profile:
    """A person's profile at GitHub.

    github_login: trimmed, lower-case. email: a verified address, or None with both flags false.
    """

    github_user_id: int
    github_login: str
    github_avatar_url: str | None
    github_profile_url: str | None
    github_email: str | None
    github_email_verified: bool
    github_email_primary: bool


# NO KEY: other transactions can still insert rows that refer to the user, so publishes are not blocked.
_USER = select(users.c.id, users.c.handle, users.c.created_via).with_for_update(key_share=True)


async def by_github_id(tx: AsyncConnection, github_user_id: int) -> User | None:
    """The user with this GitHub account, locked until the transaction ends (users_github_user_id_uq)."""
    row = (await tx.execute(_USER.where(users.c.github_user_id == github_user_id))).one_or_none()
    return User(**row._mapping) if row is not None else None


async def unattached(tx: AsyncConnection, handle: Handle) -> User | None:
    """The user with this handle and without a GitHub account, locked in the same way (users_handle_key)."""
    statement = _USER.where(users.c.handle == handle, users.c.github_user_id.is_(None))
    row = (await tx.execute(statement)).one_or_none()
    return User(**row._mapping) if row is not None else None


async def has_history(tx: AsyncConnection, user_id: UUID) -> bool:
    """True if the user has a token, even a revoked one, or a version (tokens_user_id_created_at_idx).

    No index serves the versions. This query runs only for a user without a GitHub account id.
    """
    has_token = exists().where(tokens.c.user_id == user_id)
    has_version = exists().where(package_versions.c.published_by == user_id)
    return bool((await tx.execute(select(or_(has_token, has_version)))).scalar_one())


async def is_admin(tx: AsyncConnection, user_id: UUID) -> bool:
    """True if the user has a valid token with the scope `admin` (tokens_user_id_created_at_idx)."""
    holds = exists().where(
        tokens.c.user_id == user_id, tokens.c.revoked_at.is_(None), literal("admin") == any_(tokens.c.scopes)
    )
    return bool((await tx.execute(select(holds))).scalar_one())


async def add(tx: AsyncConnection, handle: Handle, profile: Profile) -> UUID | None:
    """Create a user. None if another has the handle or the GitHub account (both unique indexes)."""
    statement = (
        upsert(users)
        .values(handle=handle, created_via="github", **_columns(profile))
        .on_conflict_do_nothing()
        .returning(users.c.id)
    )
    user_id: UUID | None = (await tx.execute(statement)).scalar_one_or_none()
    return user_id


async def set_profile(tx: AsyncConnection, user_id: UUID, profile: Profile) -> None:
    """Store the present profile at GitHub (primary key)."""
    await tx.execute(
        update(users).where(users.c.id == user_id).values(created_via="github", **_columns(profile))
    )


async def rename(tx: AsyncConnection, user_id: UUID, handle: Handle) -> None:
    """Change a handle (primary key). Raises IntegrityError if another user has it."""
    await tx.execute(update(users).where(users.c.id == user_id).values(handle=handle))


async def owned_packages(tx: AsyncConnection, user_id: UUID) -> Sequence[tuple[UUID, PackageName]]:
    """Id and name of each package that the user owns, in the order of ids (package_owners_user_id_idx)."""
    statement = (
        select(packages.c.id, packages.c.name)
        .join_from(package_owners, packages)
        .where(package_owners.c.user_id == user_id)
        .order_by(packages.c.id)
    )
    return [(row.id, PackageName(row.name)) for row in await tx.execute(statement)]


def _columns(profile: Profile) -> dict[str, object]:
    return {
        "github_user_id": profile.github_user_id,
        "github_login": profile.github_login,
        "github_avatar_url": profile.github_avatar_url,
        "github_profile_url": profile.github_profile_url,
        "github_email": profile.github_email,
        "github_email_verified": profile.github_email_verified,
        "github_email_primary": profile.github_email_primary,
    }
