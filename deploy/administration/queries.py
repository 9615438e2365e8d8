"""All SQL of administration commands. Rows are streamed, so that long results need little memory."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import TextClause, text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.names import Handle


@dataclass(frozen=True, slots=True)
class UserRow:
    """A user. tokens: the number of valid ones. packages: names of the owned ones, in byte order."""

    id: UUID
    handle: str
    created_at: datetime
    created_via: str
    github_user_id: int | None
    github_login: str | None
    github_email_verified: bool
    tokens: int
    packages: list[str]


@dataclass(frozen=True, slots=True)
class TokenRow:
    """A token, without its hash."""

    id: UUID
    handle: str
    label: str
    scopes: list[str]
    created_at: datetime
    last_used_at: datetime | None
    revoked_at: datetime | None
    expires_at: datetime | None
    packages: list[str] | None


@dataclass(frozen=True, slots=True)
class PackageRow:
    """A package. is_published: true if readers see its latest change."""

    name: str
    latest_version: str | None
    versions: int
    owners: list[str]
    created_at: datetime
    is_published: bool


@dataclass(frozen=True, slots=True)
class EventRow:
    """An audit event. actor: None if none was recorded."""

    id: UUID
    created_at: datetime
    actor: str | None
    actor_token_id: UUID | None
    action: str
    package_name: str | None
    package_version: str | None
    details: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Administrator:
    """A user who holds, or held, a token with the scope `admin`."""

    id: UUID
    handle: Handle


_FIRST_ADMIN = """
    SELECT u.id, u.handle FROM tokens t JOIN users u ON u.id = t.user_id
    WHERE 'admin' = ANY (t.scopes) ORDER BY t.revoked_at IS NOT NULL, t.created_at, t.id LIMIT 1
    """
_NEW_USER = """
    INSERT INTO users (handle, github_email_verified) VALUES (:handle, true)
    ON CONFLICT DO NOTHING RETURNING id
    """
_USERS = """
    SELECT u.id, u.handle, u.created_at, u.created_via, u.github_user_id, u.github_login,
           u.github_email_verified,
           (SELECT count(*) FROM tokens t WHERE t.user_id = u.id AND t.revoked_at IS NULL) AS tokens,
           ARRAY(SELECT p.name FROM package_owners o JOIN packages p ON p.id = o.package_id
                 WHERE o.user_id = u.id ORDER BY p.name COLLATE "C") AS packages
    FROM users u
    """
_TOKENS = """
    SELECT t.id, u.handle, t.label, t.scopes, t.created_at, t.last_used_at, t.revoked_at, l.expires_at,
           l.packages
    FROM tokens t JOIN users u ON u.id = t.user_id LEFT JOIN token_limits l ON l.token_id = t.id
    """
_PACKAGES = """
    SELECT p.name, p.latest_version, p.created_at,
           (SELECT count(*) FROM package_versions v WHERE v.package_id = p.id) AS versions,
           ARRAY(SELECT u.handle FROM package_owners o JOIN users u ON u.id = o.user_id
                 WHERE o.package_id = p.id ORDER BY u.handle COLLATE "C") AS owners,
           COALESCE(s.published_generation >= s.generation, false) AS is_published
    FROM packages p LEFT JOIN index_state s ON s.package_id = p.id
    """
_EVENTS = """
    SELECT e.id, e.created_at, u.handle AS actor, e.actor_token_id, e.action, e.package_name,
           e.package_version, e.details
    FROM audit_events e LEFT JOIN users u ON u.id = e.actor_user_id
    """


async def first_admin(tx: AsyncConnection) -> Administrator | None:
    """The user with the oldest `admin` token. A revoked token counts if there is no other."""
    row = (await tx.execute(text(_FIRST_ADMIN))).one_or_none()
    return Administrator(row.id, Handle(row.handle)) if row is not None else None


async def add_user(tx: AsyncConnection, handle: Handle) -> UUID | None:
    """Create a user; None if the handle is taken (users_handle_key).

    The operator vouches for the user, who may publish without an address that GitHub has verified. The first
    sign-in with GitHub replaces this with GitHub's own data.
    """
    user_id: UUID | None = (await tx.execute(text(_NEW_USER), {"handle": handle})).scalar_one_or_none()
    return user_id


async def users(tx: AsyncConnection) -> AsyncIterator[UserRow]:
    """Every user, by handle."""
    async for row in await tx.stream(text(f'{_USERS} ORDER BY u.handle COLLATE "C"')):
        yield UserRow(**row._mapping)


async def user(tx: AsyncConnection, handle: str) -> UserRow | None:
    """The user with this handle (users_handle_key)."""
    row = (await tx.execute(text(f"{_USERS} WHERE u.handle = :handle"), {"handle": handle})).one_or_none()
    return UserRow(**row._mapping) if row is not None else None


async def tokens(tx: AsyncConnection, handle: str | None) -> AsyncIterator[TokenRow]:
    """Tokens of a user, or of all users, newest first, including revoked ones."""
    statement, values = _filtered(_TOKENS, ("u.handle = :handle", "handle", handle))
    async for row in await tx.stream(_ordered(statement, "t.created_at DESC, t.id"), values):
        yield TokenRow(**row._mapping)


async def packages(tx: AsyncConnection, owner: str | None) -> AsyncIterator[PackageRow]:
    """Packages of an owner, or all packages, by name (packages_name_bytes_idx)."""
    owned = """EXISTS (SELECT 1 FROM package_owners o JOIN users u ON u.id = o.user_id
                       WHERE o.package_id = p.id AND u.handle = :owner)"""
    statement, values = _filtered(_PACKAGES, (owned, "owner", owner))
    async for row in await tx.stream(_ordered(statement, 'p.name COLLATE "C"'), values):
        yield PackageRow(**row._mapping)


async def actions(tx: AsyncConnection) -> list[str]:
    """Every action that an audit event has (reads the whole table)."""
    return list(
        (await tx.execute(text("SELECT DISTINCT action FROM audit_events ORDER BY action"))).scalars()
    )


async def events(
    tx: AsyncConnection,
    *,
    actor: str | None,
    package: str | None,
    action: str | None,
    since: datetime | None,
) -> AsyncIterator[EventRow]:
    """Audit events that meet every given condition, oldest first.

    audit_events_actor_user_id_created_at_idx serves a condition on the actor; others read the whole table.
    """
    statement, values = _filtered(
        _EVENTS,
        ("u.handle = :actor", "actor", actor),
        ("e.package_name = :package", "package", package),
        ("e.action = :action", "action", action),
        ("e.created_at >= :since", "since", since),
    )
    async for row in await tx.stream(_ordered(statement, "e.created_at, e.id"), values):
        yield EventRow(**row._mapping)


def _filtered(select: str, *conditions: tuple[str, str, object]) -> tuple[str, dict[str, object]]:
    """The query with those conditions whose value is given, and the values."""
    given = [(condition, name, value) for condition, name, value in conditions if value is not None]
    where = " AND ".join(condition for condition, _, _ in given) or "true"
    return f"{select} WHERE {where}", {name: value for _, name, value in given}


def _ordered(statement: str, order: str) -> TextClause:
    return text(f"{statement} ORDER BY {order}")
