"""SQL on webhooks and on what was delivered to them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from sqlalchemy import Select, case, delete, func, insert, select, text, update
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.tables import users, webhook_deliveries, webhook_events, webhooks
from shared.webhooks import TEST_EVENT


@dataclass(frozen=True, slots=True)
class Webhook:
    """A webhook without its secrets. package: None for all that its user owns, or, if of_all, for all.

    failing_since: nothing is sent since then, for the reason in failure.
    """

    id: UUID
    user_id: UUID
    owner: str
    url: str
    events: Sequence[str]
    package: str | None
    of_all: bool
    is_active: bool
    failing_since: datetime | None
    failure: str | None
    created_at: datetime
    previous_until: datetime | None

    @property
    def state(self) -> Literal["active", "failing", "off"]:
        """Whether it is sent to."""
        if not self.is_active:
            return "off"
        return "active" if self.failing_since is None else "failing"


@dataclass(frozen=True, slots=True)
class Delivery:
    """An event for a webhook. due_at: when it is tried next, unless it is done.

    error: why it did not arrive with the last attempt, None if it arrived or was not tried.
    """

    message_id: UUID
    type: str
    data: dict[str, Any]
    created_at: datetime
    attempts: int
    tried_at: datetime | None
    done_at: datetime | None
    due_at: datetime
    status: int | None
    error: str | None

    @property
    def state(self) -> Literal["waiting", "delivered", "failed"]:
        """Whether it arrived."""
        if self.done_at is None:
            return "waiting"
        return "delivered" if self.error is None else "failed"


# Of a webhook that starts again, what waits is tried at once, and has another day.
_TRY_AGAIN = update(webhook_deliveries).values(due_at=func.now(), first_tried_at=None, attempts=0)
_ADD_TEST = text(
    """
    WITH event AS (
        INSERT INTO webhook_events (type, data) VALUES (:type, '{}') RETURNING id, message_id
    ), delivery AS (
        INSERT INTO webhook_deliveries (event_id, hook_id) SELECT id, :hook_id FROM event
    )
    SELECT message_id FROM event
    """
)


def _webhooks() -> Select[Any]:
    return select(
        webhooks.c.id,
        webhooks.c.user_id,
        users.c.handle.label("owner"),
        webhooks.c.url,
        webhooks.c.events,
        webhooks.c.package,
        webhooks.c.of_all,
        webhooks.c.is_active,
        webhooks.c.failing_since,
        webhooks.c.failure,
        webhooks.c.created_at,
        case((webhooks.c.previous_until > func.now(), webhooks.c.previous_until)).label("previous_until"),
    ).join(users)


async def of_user(tx: AsyncConnection, user_id: UUID | None) -> list[Webhook]:
    """The webhooks of a user (webhooks_user_id_idx), or of all users for None; oldest first."""
    statement = _webhooks().order_by(webhooks.c.created_at, webhooks.c.id)
    if user_id is not None:
        statement = statement.where(webhooks.c.user_id == user_id)
    return [Webhook(**row._mapping) for row in await tx.execute(statement)]


async def find(tx: AsyncConnection, hook_id: UUID) -> Webhook | None:
    """The webhook with this id (primary key)."""
    row = (await tx.execute(_webhooks().where(webhooks.c.id == hook_id))).one_or_none()
    return Webhook(**row._mapping) if row is not None else None


async def count(tx: AsyncConnection, user_id: UUID) -> int:
    """How many webhooks a user has, once no other transaction adds one for the user."""
    await tx.execute(select(users.c.id).where(users.c.id == user_id).with_for_update(key_share=True))
    statement = select(func.count()).select_from(webhooks).where(webhooks.c.user_id == user_id)
    return int((await tx.execute(statement)).scalar_one())


async def add(
    tx: AsyncConnection,
    user_id: UUID,
    *,
    url: str,
    events: Sequence[str],
    package: str | None,
    of_all: bool,
    secret: str,
) -> UUID:
    """Insert a webhook. Returns its id."""
    values = {"user_id": user_id, "url": url, "events": list(events), "package": package}
    statement = insert(webhooks).values(**values, of_all=of_all, secret=secret).returning(webhooks.c.id)
    hook_id: UUID = (await tx.execute(statement)).scalar_one()
    return hook_id


async def change(tx: AsyncConnection, hook_id: UUID, **values: Any) -> None:
    """Set columns of a webhook (primary key)."""
    await tx.execute(update(webhooks).where(webhooks.c.id == hook_id).values(**values))


async def rotate(tx: AsyncConnection, hook_id: UUID, secret: str, both_s: int) -> None:
    """Give a webhook another secret; the present one signs, too, for so many seconds (primary key)."""
    until = func.now() + func.make_interval(0, 0, 0, 0, 0, 0, both_s)
    await change(tx, hook_id, previous_secret=webhooks.c.secret, previous_until=until, secret=secret)


async def start_again(tx: AsyncConnection, hook_id: UUID) -> None:
    """Send to a webhook again, beginning with what waits (webhook_deliveries_waiting_idx)."""
    await change(tx, hook_id, is_active=True, failing_since=None, failure=None)
    waits = webhook_deliveries.c.hook_id == hook_id, webhook_deliveries.c.done_at.is_(None)
    await tx.execute(_TRY_AGAIN.where(*waits))


async def remove(tx: AsyncConnection, hook_id: UUID) -> None:
    """Delete a webhook with its deliveries (primary keys)."""
    await tx.execute(delete(webhooks).where(webhooks.c.id == hook_id))


async def add_test(tx: AsyncConnection, hook_id: UUID) -> UUID:
    """Add an event for this webhook alone. Returns the id of its message."""
    message_id: UUID = (await tx.execute(_ADD_TEST, {"type": TEST_EVENT, "hook_id": hook_id})).scalar_one()
    return message_id


async def deliveries(tx: AsyncConnection, hook_id: UUID, limit: int) -> list[Delivery]:
    """The newest events of a webhook, newest first (webhook_deliveries' primary key)."""
    of_event, of_delivery = webhook_events.c, webhook_deliveries.c
    statement = (
        select(
            of_event.message_id,
            of_event.type,
            of_event.data,
            of_event.created_at,
            of_delivery.attempts,
            of_delivery.tried_at,
            of_delivery.done_at,
            of_delivery.due_at,
            of_delivery.status,
            of_delivery.error,
        )
        .join(webhook_events)
        .where(of_delivery.hook_id == hook_id)
        .order_by(of_delivery.event_id.desc())
        .limit(limit)
    )
    return [Delivery(**row._mapping) for row in await tx.execute(statement)]
