"""Removing what has expired: web sessions, and sign-in attempts that nobody finished."""

from __future__ import annotations

from sqlalchemy import delete, func
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.tables import oauth_states, web_sessions


async def remove_expired(tx: AsyncConnection) -> tuple[int, int]:
    """Remove what expired by the database's clock; how many sessions and attempts went.

    web_sessions_expires_at_idx and oauth_states_expires_at_idx serve it. What an attempt has in
    oauth_state_secrets goes along.
    """
    sessions = await tx.execute(delete(web_sessions).where(web_sessions.c.expires_at <= func.now()))
    attempts = await tx.execute(delete(oauth_states).where(oauth_states.c.expires_at <= func.now()))
    return sessions.rowcount, attempts.rowcount
