"""SQL on audit events: who did what, in the transaction that did it (contract, 8.2)."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from sqlalchemy import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.tables import audit_events


async def record(
    tx: AsyncConnection,
    action: str,
    *,
    user_id: UUID,
    token_id: UUID | None,
    package: str | None = None,
    version: str | None = None,
    details: dict[str, Any] | None = None,
) -> None:
    """Write one event. action: one of the contract's names. token_id: None for a session."""
    await tx.execute(
        insert(audit_events).values(
            actor_user_id=user_id,
            actor_token_id=token_id,
            action=action,
            package_name=package,
            package_version=version,
            details=details or {},
        )
    )
