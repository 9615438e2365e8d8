"""SQL on tokens and the users behind them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import func, or_, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.statements import Connection, Row, fetch
from shared.tables import token_limits, tokens


@dataclass(frozen=True, slots=True)
class TokenRow:
    """A token and its user. expires_at, packages: its limits, None where it has none.

    provenance: of the build that it was made for, None for one that a person made.
    """

    token_id: UUID
    scopes: Sequence[str]
    revoked_at: datetime | None
    user_id: UUID
    handle: str
    github_email_verified: bool
    expires_at: datetime | None
    packages: tuple[str, ...] | None
    is_expired: bool
    provenance: dict[str, Any] | None


@dataclass(frozen=True, slots=True)
class OwnedToken:
    """A token as its owner may see it, without its hash."""

    id: UUID
    label: str
    scopes: Sequence[str]
    created_at: datetime
    last_used_at: datetime | None
    revoked_at: datetime | None
    expires_at: datetime | None
    packages: list[str] | None


_BY_HASHES = """
    SELECT t.token_hash, t.id AS token_id, t.scopes, t.revoked_at, u.id AS user_id, u.handle,
           u.github_email_verified, l.expires_at, l.packages,
           COALESCE(l.expires_at <= now(), false) AS is_expired, l.provenance
    FROM tokens t JOIN users u ON u.id = t.user_id LEFT JOIN token_limits l ON l.token_id = t.id
    WHERE t.token_hash = ANY(ARRAY(SELECT unnest(CAST($1 AS text[]))))
"""


async def by_hashes(tx: Connection, hashes: Sequence[str]) -> dict[str, TokenRow]:
    """Tokens by their SHA-256 hex, revoked or not (tokens_token_hash_key, token_limits_pkey)."""
    return {row["token_hash"]: _token(row) for row in await fetch(tx, _BY_HASHES, list(hashes))}


def _token(row: Row) -> TokenRow:
    return TokenRow(
        token_id=row["token_id"],
        scopes=row["scopes"],
        revoked_at=row["revoked_at"],
        user_id=row["user_id"],
        handle=row["handle"],
        github_email_verified=row["github_email_verified"],
        expires_at=row["expires_at"],
        packages=None if row["packages"] is None else tuple(row["packages"]),
        is_expired=row["is_expired"],
        provenance=row["provenance"],
    )


async def set_last_used(tx: AsyncConnection, token_ids: Sequence[UUID]) -> None:
    """Set last_used_at to now (primary key)."""
    await tx.execute(update(tokens).where(tokens.c.id.in_(token_ids)).values(last_used_at=func.now()))


async def of_user(tx: AsyncConnection, user_id: UUID) -> list[OwnedToken]:
    """Every token of a user, revoked ones included, newest first (tokens_user_id_created_at_idx).

    Those of trusted publishing are listed while they work: a busy package has thousands behind it.
    """
    columns = (
        tokens.c.id,
        tokens.c.label,
        tokens.c.scopes,
        tokens.c.created_at,
        tokens.c.last_used_at,
        tokens.c.revoked_at,
        token_limits.c.expires_at,
        token_limits.c.packages,
    )
    is_listed = or_(token_limits.c.provenance.is_(None), token_limits.c.expires_at > func.now())
    statement = (
        select(*columns)
        .select_from(tokens.outerjoin(token_limits))
        .where(tokens.c.user_id == user_id, is_listed)
        .order_by(tokens.c.created_at.desc(), tokens.c.id.desc())
    )
    return [OwnedToken(**row._mapping) for row in await tx.execute(statement)]


async def add(
    tx: AsyncConnection,
    user_id: UUID,
    *,
    token_hash: str,
    label: str,
    scopes: Sequence[str],
    expires_at: datetime | None = None,
    packages: Sequence[str] | None = None,
    provenance: dict[str, Any] | None = None,
    publisher_id: UUID | None = None,
) -> UUID | None:
    """Insert a token. Returns its id, or None if the hash exists already (tokens_token_hash_key).

    A token without limits gets no row in token_limits, like the tokens of the older server.
    """
    statement = insert(tokens).values(
        user_id=user_id, token_hash=token_hash, label=label, scopes=list(scopes)
    )
    inserted = statement.on_conflict_do_nothing(index_elements=[tokens.c.token_hash])
    token_id: UUID | None = (await tx.execute(inserted.returning(tokens.c.id))).scalar_one_or_none()
    if token_id is not None and (expires_at, packages, provenance) != (None, None, None):
        limits = {"expires_at": expires_at, "packages": packages, "provenance": provenance}
        row = {"token_id": token_id, "publisher_id": publisher_id, **limits}
        await tx.execute(insert(token_limits).values(row))
    return token_id


async def owner_of(tx: AsyncConnection, token_id: UUID) -> UUID | None:
    """The owner of the token; None if there is no such token (primary key)."""
    statement = select(tokens.c.user_id).where(tokens.c.id == token_id)
    user_id: UUID | None = (await tx.execute(statement)).scalar_one_or_none()
    return user_id


async def revoke(tx: AsyncConnection, token_id: UUID) -> None:
    """Revoke a token. A token that is already revoked keeps its time of revocation (primary key)."""
    await tx.execute(
        update(tokens)
        .where(tokens.c.id == token_id, tokens.c.revoked_at.is_(None))
        .values(revoked_at=func.now())
    )
