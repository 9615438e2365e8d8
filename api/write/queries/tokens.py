"""SQL on tokens and the users behind them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import func, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.tables import tokens, users


@dataclass(frozen=True, slots=True)
class TokenRow:
    """A token and its user."""

    token_id: UUID
    scopes: Sequence[str]
    revoked_at: datetime | None
    user_id: UUID
    handle: str
    github_email_verified: bool


_BY_HASH = select(
    tokens.c.id.label("token_id"),
    tokens.c.scopes,
    tokens.c.revoked_at,
    users.c.id.label("user_id"),
    users.c.handle,
    users.c.github_email_verified,
).join_from(tokens, users)


async def by_hash(tx: AsyncConnection, token_hash: str) -> TokenRow | None:
    """The token with this SHA-256 hex, revoked or not (tokens_token_hash_key)."""
    result = await tx.execute(_BY_HASH.where(tokens.c.token_hash == token_hash))
    row = result.one_or_none()
    return TokenRow(**row._mapping) if row is not None else None


async def set_last_used(tx: AsyncConnection, token_ids: Sequence[UUID]) -> None:
    """Set last_used_at to now (primary key)."""
    await tx.execute(update(tokens).where(tokens.c.id.in_(token_ids)).values(last_used_at=func.now()))
