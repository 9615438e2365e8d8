"""Webhooks, and the outbox of their events (docs/webhooks.md)."""

from __future__ import annotations

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Identity,
    Integer,
    Table,
    Text,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB, UUID

from shared.tables.columns import metadata, moment, random_id

# Receivers of events (docs/webhooks.md). package: None for all packages. of_all: an admin made it, so it is
# told of packages that its user does not own. secret: `whsec_…`; previous_secret signs, too, until
# previous_until. failing_since: nothing is sent since then, for the reason in failure.
webhooks = Table(
    "webhooks",
    metadata,
    random_id(),
    Column("user_id", UUID, ForeignKey("users.id", ondelete="CASCADE"), nullable=False),
    Column("url", Text, nullable=False),
    Column("events", ARRAY(Text), nullable=False),
    Column("package", Text),
    Column("of_all", Boolean, nullable=False, server_default=text("false")),
    Column("secret", Text, nullable=False),
    Column("previous_secret", Text),
    moment("previous_until"),
    Column("is_active", Boolean, nullable=False, server_default=text("true")),
    moment("failing_since"),
    Column("failure", Text),
    moment("created_at", required=True),
)

# Changes that at least one webhook is told of. A trigger on audit_events writes it with the change
# (deploy/migrations/versions/0016_webhooks.py). package_id: None for a test, which concerns no package.
# generation: the package's, that contains the change.
webhook_events = Table(
    "webhook_events",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("message_id", UUID, nullable=False, server_default=func.gen_random_uuid()),
    Column("package_id", UUID),
    Column("generation", BigInteger),
    Column("type", Text, nullable=False),
    Column("data", JSONB, nullable=False),
    moment("created_at", required=True),
)

# An event for a webhook. done_at: None while it waits; then error is None if it arrived. due_at: when it may
# be tried next. status: that of the last answer, None if there was none.
webhook_deliveries = Table(
    "webhook_deliveries",
    metadata,
    Column("event_id", BigInteger, ForeignKey("webhook_events.id", ondelete="CASCADE"), primary_key=True),
    Column("hook_id", UUID, ForeignKey("webhooks.id", ondelete="CASCADE"), primary_key=True),
    Column("package_id", UUID),
    Column("attempts", Integer, nullable=False, server_default=text("0")),
    moment("due_at", required=True),
    moment("first_tried_at"),
    moment("tried_at"),
    moment("done_at"),
    Column("status", Integer),
    Column("error", Text),
)
