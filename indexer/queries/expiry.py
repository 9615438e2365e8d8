"""SQL that deletes expired web sessions, sign-in attempts, used identities and pending publishers."""

from __future__ import annotations

from sqlalchemy import delete, func, text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.tables import oauth_states, used_identities, web_sessions

_PENDING_TOO_LONG = """
    DELETE FROM trusted_publishers t
    WHERE t.created_at <= now() - interval '30 days'
      AND NOT EXISTS (SELECT 1 FROM packages p WHERE p.name = t.name)
    """


async def remove_expired(tx: AsyncConnection) -> tuple[int, int]:
    """Remove what has expired by the database's clock. Returns how many sessions and attempts were removed.

    Served by web_sessions_expires_at_idx and oauth_states_expires_at_idx. The rows in oauth_state_secrets are
    removed by cascade. Identities of builds that were used are removed once they have expired
    (used_identities_expires_at_idx), and trusted publishers that waited 30 days for a first version.
    """
    sessions = await tx.execute(delete(web_sessions).where(web_sessions.c.expires_at <= func.now()))
    attempts = await tx.execute(delete(oauth_states).where(oauth_states.c.expires_at <= func.now()))
    await tx.execute(delete(used_identities).where(used_identities.c.expires_at <= func.now()))
    await tx.execute(text(_PENDING_TOO_LONG))
    return sessions.rowcount, attempts.rowcount
