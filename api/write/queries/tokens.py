"""SQL on tokens and the users behind them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import func, select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.tables import tokens


@dataclass(frozen=True, slots=True)
class TokenRow:
    """A token and its user."""

    token_id: UUID
    scopes: Sequence[str]
    revoked_at: datetime | None
    user_id: UUID
    handle: str
    github_email_verified: bool


@dataclass(frozen=True, slots=True)
class OwnedToken:
    """A token as its owner may see it: never its hash."""

    id: UUID
    label: str
    scopes: Sequence[str]
    created_at: datetime
    last_used_at: datetime | None
    revoked_at: datetime | None


_BY_HASHES = text(
    """
    SELECT t.token_hash, t.id, t.scopes, t.revoked_at, u.id, u.handle, u.github_email_verified
    FROM tokens t JOIN users u ON u.id = t.user_id
    WHERE t.token_hash = ANY(CAST(:hashes AS text[]))
    """
)


async def by_hashes(tx: AsyncConnection, hashes: Sequence[str]) -> dict[str, TokenRow]:
    """Tokens by their SHA-256 hex, revoked or not (tokens_token_hash_key)."""
    result = await tx.execute(_BY_HASHES, {"hashes": list(hashes)})
    return {token_hash: TokenRow(*row) for token_hash, *row in result}


async def set_last_used(tx: AsyncConnection, token_ids: Sequence[UUID]) -> None:
    """Set last_used_at to now (primary key)."""
    await tx.execute(update(tokens).where(tokens.c.id.in_(token_ids)).values(last_used_at=func.now()))


async def of_user(tx: AsyncConnection, user_id: UUID) -> list[OwnedToken]:
    """Every token of a user, revoked ones included, newest first (tokens_user_id_created_at_idx)."""
    columns = (
        tokens.c.id,
        tokens.c.label,
        tokens.c.scopes,
        tokens.c.created_at,
        tokens.c.last_used_at,
        tokens.c.revoked_at,
    )
    statement = (
        select(*columns)
        .where(tokens.c.user_id == user_id)
        .order_by(tokens.c.created_at.desc(), tokens.c.id.desc())
    )
    return [OwnedToken(**row._mapping) for row in await tx.execute(statement)]


async def add(
    tx: AsyncConnection, user_id: UUID, *, token_hash: str, label: str, scopes: Sequence[str]
) -> UUID | None:
    """Insert a token; its id, or None when the hash is taken (tokens_token_hash_key)."""
    statement = insert(tokens).values(
        user_id=user_id, token_hash=token_hash, label=label, scopes=list(scopes)
    )
    inserted = statement.on_conflict_do_nothing(index_elements=[tokens.c.token_hash])
    token_id: UUID | None = (await tx.execute(inserted.returning(tokens.c.id))).scalar_one_or_none()
    return token_id


async def owner_of(tx: AsyncConnection, token_id: UUID) -> UUID | None:
    """The user whose token this is; None when there is no such token (primary key)."""
    statement = select(tokens.c.user_id).where(tokens.c.id == token_id)
    user_id: UUID | None = (await tx.execute(statement)).scalar_one_or_none()
    return user_id


async def revoke(tx: AsyncConnection, token_id: UUID) -> None:
    """Revoke a token; one that is revoked already keeps its time (primary key)."""
    await tx.execute(
        update(tokens)
        .where(tokens.c.id == token_id, tokens.c.revoked_at.is_(None))
        .values(revoked_at=func.now())
    )
