"""SQL on web sessions and the users behind them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from sqlalchemy import delete, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.tables import users, web_sessions


@dataclass(frozen=True, slots=True)
class Session:
    """A web session and its user."""

    id: UUID
    csrf_token: str
    is_expired: bool
    user_id: UUID
    handle: str
    github_user_id: int | None
    github_login: str | None
    github_avatar_url: str | None
    github_profile_url: str | None
    github_email: str | None
    github_email_verified: bool
    github_email_primary: bool


_SESSIONS = select(
    web_sessions.c.id,
    web_sessions.c.csrf_token,
    (web_sessions.c.expires_at <= func.now()).label("is_expired"),
    users.c.id.label("user_id"),
    users.c.handle,
    users.c.github_user_id,
    users.c.github_login,
    users.c.github_avatar_url,
    users.c.github_profile_url,
    users.c.github_email,
    users.c.github_email_verified,
    users.c.github_email_primary,
).join_from(web_sessions, users)


async def by_hashes(tx: AsyncConnection, token_hashes: Collection[str]) -> Sequence[Session]:
    """The sessions with these SHA-256 in hex, expired or not, newest first.

    Found by web_sessions_session_token_hash_key.
    """
    statement = _SESSIONS.where(web_sessions.c.session_token_hash.in_(token_hashes)).order_by(
        web_sessions.c.created_at.desc(), web_sessions.c.id
    )
    return [Session(**row._mapping) for row in await tx.execute(statement)]


async def add(
    tx: AsyncConnection, user_id: UUID, *, token_hash: str, csrf_token: str, ttl: timedelta
) -> None:
    """Store a session that ends after ttl by the database's clock."""
    await tx.execute(
        insert(web_sessions).values(
            user_id=user_id,
            session_token_hash=token_hash,
            csrf_token=csrf_token,
            expires_at=func.now() + ttl,
        )
    )


async def remove(tx: AsyncConnection, session_ids: Collection[UUID]) -> None:
    """End sessions; those that have ended already are ignored (primary key)."""
    await tx.execute(delete(web_sessions).where(web_sessions.c.id.in_(session_ids)))


async def set_last_seen(tx: AsyncConnection, session_ids: Sequence[UUID]) -> None:
    """Set last_seen_at to now (primary key)."""
    await tx.execute(
        update(web_sessions).where(web_sessions.c.id.in_(session_ids)).values(last_seen_at=func.now())
    )
