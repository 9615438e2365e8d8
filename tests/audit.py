"""Reads the whole audit log, for tests that compare it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tests.stack import Registry


@dataclass(frozen=True)
class Event:
    """One audit event. has_token: a token was used, not a session."""

    actor: str
    action: str
    package: str | None = None
    version: str | None = None
    details: dict[str, Any] | None = None
    has_token: bool = True


async def events(registry: Registry, *, but: tuple[str, ...] = ("publish",)) -> list[Event]:
    """Every event, oldest first, except for these actions."""
    rows = await registry.rows(
        "SELECT u.handle, e.action, e.package_name, e.package_version, e.details,"
        " e.actor_token_id IS NOT NULL AS has_token"
        " FROM audit_events e JOIN users u ON u.id = e.actor_user_id ORDER BY e.created_at"
    )
    return [Event(*row) for row in rows if row.action not in but]
