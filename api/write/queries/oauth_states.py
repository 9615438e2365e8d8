"""SQL on sign-in attempts: the older server's table oauth_states, and our table of their secrets."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import delete, func, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.tables import oauth_state_secrets, oauth_states


@dataclass(frozen=True, slots=True)
class Attempt:
    """A sign-in attempt. code_verifier, browser_hash: None if the older server began it."""

    next_url: str
    is_expired: bool
    code_verifier: str | None
    browser_hash: str | None


_TAKEN = delete(oauth_states).returning(
    oauth_states.c.state,
    oauth_states.c.next_url,
    (oauth_states.c.expires_at <= func.now()).label("is_expired"),
)


async def add(
    tx: AsyncConnection, state: str, next_url: str, *, code_verifier: str, browser_hash: str, ttl: timedelta
) -> None:
    """Store an attempt that expires after ttl by the database's clock."""
    await tx.execute(insert(oauth_states).values(state=state, next_url=next_url, expires_at=func.now() + ttl))
    await tx.execute(
        insert(oauth_state_secrets).values(
            state=state, code_verifier=code_verifier, browser_hash=browser_hash
        )
    )


async def take(tx: AsyncConnection, state: str) -> Attempt | None:
    """Remove an attempt and return it, expired or not.

    If two callers take it at the same time, only one gets it (primary keys).

    The deletion is a single statement, because it still sees the secrets that its own cascade removes.

    """
    taken = _TAKEN.where(oauth_states.c.state == state).cte("taken")
    secrets = oauth_state_secrets
    statement = select(
        taken.c.next_url, taken.c.is_expired, secrets.c.code_verifier, secrets.c.browser_hash
    ).join_from(taken, secrets, taken.c.state == secrets.c.state, isouter=True)
    row = (await tx.execute(statement)).one_or_none()
    return Attempt(**row._mapping) if row is not None else None
