"""SQL on the tokens that may read a private registry."""

from __future__ import annotations

from typing import Final

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

_READERS: Final = text(
    """
    SELECT t.token_hash, EXTRACT(epoch FROM l.expires_at)::float8 AS ends
    FROM tokens t LEFT JOIN token_limits l ON l.token_id = t.id
    WHERE t.revoked_at IS NULL AND (l.expires_at IS NULL OR l.expires_at > now())
    """
)


async def readers(tx: AsyncConnection) -> dict[str, float | None]:
    """The expiry of each valid token, by its hash; None for never. Every valid token may read."""
    return {row.token_hash: row.ends for row in await tx.execute(_READERS)}
