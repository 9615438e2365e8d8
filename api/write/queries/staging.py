"""SQL on staged archives: the lock that keeps them from being collected under a publish."""

from __future__ import annotations

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.locks import staging_lock_key


async def hold(tx: AsyncConnection, sha256: str) -> None:
    """Nobody removes the staged bytes until the transaction ends; other publishes may hold them too."""
    await tx.execute(text("SELECT pg_advisory_xact_lock_shared(:key)"), {"key": staging_lock_key(sha256)})
