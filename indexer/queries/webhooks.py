"""SQL on what webhooks are to hear: which events are due, and how an attempt ended.

An event is due when readers see its change, and when every earlier event of its package has arrived at the
webhook. A worker that takes an event moves its due time on, so that no other one takes it meanwhile; if the
worker dies, the event is due again after that.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection


@dataclass(frozen=True, slots=True)
class Due:
    """An event that was taken to be sent. attempts: with this one. is_test: it is tried once.

    secrets: those that sign, the newest first.
    """

    hook_id: UUID
    event_id: int
    message_id: UUID
    type: str
    data: dict[str, Any]
    created_at: datetime
    attempts: int
    url: str
    secrets: Sequence[str]
    is_test: bool


# The first event that waits, of each package of a webhook. Each step finds the next package in
# webhook_deliveries_waiting_idx: nothing reads all that a dead receiver has missed.
_HEADS = """
    heads AS (
        (SELECT package_id, event_id FROM webhook_deliveries
         WHERE hook_id = {hook} AND done_at IS NULL AND package_id IS NOT NULL
         ORDER BY package_id, event_id LIMIT 1)
        UNION ALL
        SELECT next.package_id, next.event_id FROM heads CROSS JOIN LATERAL (
            SELECT package_id, event_id FROM webhook_deliveries
            WHERE hook_id = {hook} AND done_at IS NULL AND package_id > heads.package_id
            ORDER BY package_id, event_id LIMIT 1) next
    )
    """
_IS_SEEN = """
    EXISTS (SELECT FROM index_state s JOIN webhook_events e ON e.id = d.event_id
            WHERE s.package_id = d.package_id AND s.published_generation >= e.generation)
    """
_HOOKS_DUE = text(
    f"""
    WITH RECURSIVE waiting AS (
        (SELECT hook_id FROM webhook_deliveries WHERE done_at IS NULL ORDER BY hook_id LIMIT 1)
        UNION ALL
        SELECT next.hook_id FROM waiting CROSS JOIN LATERAL (
            SELECT hook_id FROM webhook_deliveries
            WHERE done_at IS NULL AND hook_id > waiting.hook_id ORDER BY hook_id LIMIT 1) next
    )
    SELECT h.id FROM waiting JOIN webhooks h ON h.id = waiting.hook_id
    WHERE EXISTS (SELECT FROM webhook_deliveries d WHERE d.hook_id = h.id AND d.package_id IS NULL
                  AND d.done_at IS NULL AND d.due_at <= now())
       OR (h.is_active AND h.failing_since IS NULL AND EXISTS (
               WITH RECURSIVE {_HEADS.format(hook="h.id")}
               SELECT FROM heads JOIN webhook_deliveries d ON d.hook_id = h.id AND d.event_id = heads.event_id
               WHERE d.due_at <= now() AND {_IS_SEEN}))
    """  # noqa: S608 - our own text
)
_TAKE = text(
    f"""
    WITH RECURSIVE {_HEADS.format(hook="CAST(:hook_id AS uuid)")}, candidates AS (
        SELECT event_id FROM heads
        UNION ALL
        SELECT event_id FROM webhook_deliveries
        WHERE hook_id = :hook_id AND package_id IS NULL AND done_at IS NULL
    ), due AS MATERIALIZED (
        SELECT d.hook_id, d.event_id
        FROM candidates JOIN webhook_deliveries d ON d.hook_id = :hook_id AND d.event_id = candidates.event_id
        JOIN webhooks h ON h.id = d.hook_id
        WHERE d.done_at IS NULL AND d.due_at <= now()
          AND (d.package_id IS NULL OR (h.is_active AND h.failing_since IS NULL AND {_IS_SEEN}))
        ORDER BY d.event_id LIMIT :limit
        FOR UPDATE OF d SKIP LOCKED
    )
    UPDATE webhook_deliveries d
    SET attempts = attempts + 1, due_at = now() + make_interval(secs => :lease_s),
        tried_at = now(), first_tried_at = COALESCE(first_tried_at, now())
    FROM due, webhook_events e, webhooks h
    WHERE d.hook_id = due.hook_id AND d.event_id = due.event_id AND e.id = d.event_id AND h.id = d.hook_id
    RETURNING d.hook_id, d.event_id, e.message_id, e.type, e.data, e.created_at, d.attempts, h.url,
              CASE WHEN h.previous_until > now() THEN ARRAY[h.secret, h.previous_secret]
                   ELSE ARRAY[h.secret] END AS secrets,
              d.package_id IS NULL AS is_test
    """  # noqa: S608 - our own text
)
_ARRIVED = text(
    """
    UPDATE webhook_deliveries SET done_at = now(), status = :status, error = NULL
    WHERE hook_id = :hook_id AND event_id = :event_id AND done_at IS NULL
    """
)
# A later attempt, which another worker made in the meantime, knows better.
_FAILED = text(
    """
    WITH failed AS (
        UPDATE webhook_deliveries
        SET due_at = now() + make_interval(secs => :pause_s), status = :status, error = :error,
            done_at = CASE WHEN package_id IS NULL THEN now() END
        WHERE hook_id = :hook_id AND event_id = :event_id AND done_at IS NULL AND attempts = :attempts
        RETURNING hook_id, package_id, first_tried_at
    )
    UPDATE webhooks h SET failing_since = now(), failure = :error FROM failed
    WHERE h.id = failed.hook_id AND failed.package_id IS NOT NULL AND h.failing_since IS NULL
      AND failed.first_tried_at <= now() - make_interval(secs => :longest_s)
    RETURNING h.id
    """
)
_REMOVE_OLD = text("DELETE FROM webhook_events WHERE created_at <= now() - make_interval(days => :days)")


async def hooks_due(connection: AsyncConnection) -> list[UUID]:
    """The webhooks that something is due for (webhook_deliveries_waiting_idx)."""
    return list((await connection.execute(_HOOKS_DUE)).scalars())


async def take(connection: AsyncConnection, hook_id: UUID, limit: int, lease_s: float) -> list[Due]:
    """Take events of different packages that are due for a webhook, the oldest first, for lease_s seconds."""
    values = {"hook_id": hook_id, "limit": limit, "lease_s": lease_s}
    rows = await connection.execute(_TAKE, values)
    return sorted((Due(**row._mapping) for row in rows), key=lambda due: due.event_id)


async def arrived(connection: AsyncConnection, due: Due, status: int) -> None:
    """Record that an event arrived (webhook_deliveries' primary key)."""
    values = {"hook_id": due.hook_id, "event_id": due.event_id, "status": status}
    await connection.execute(_ARRIVED, values)


async def failed(
    connection: AsyncConnection,
    due: Due,
    *,
    status: int | None,
    error: str,
    pause_s: float,
    longest_s: float,
) -> bool:
    """Record that an attempt failed; the next one follows after a pause.

    True if the first attempt was so long ago that the webhook is now failing (primary keys).
    """
    values = {"hook_id": due.hook_id, "event_id": due.event_id, "attempts": due.attempts}
    values |= {"status": status, "error": error, "pause_s": pause_s, "longest_s": longest_s}
    return (await connection.execute(_FAILED, values)).first() is not None


async def remove_old(tx: AsyncConnection, days: int) -> None:
    """Remove events, and whether they arrived (webhook_events_created_at_idx)."""
    await tx.execute(_REMOVE_OLD, {"days": days})
