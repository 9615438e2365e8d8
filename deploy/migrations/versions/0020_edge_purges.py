"""What edges have to drop, until they have been asked to (docs/edge.md)."""

from __future__ import annotations

from alembic import op

revision = "0020"
down_revision = "0019"

# change: raised with each change, so that a purge that was under way is known to be older than the change.
PURGES = """
    CREATE TABLE edge_purges (
        surrogate_key text PRIMARY KEY,
        change bigint NOT NULL DEFAULT 1,
        round smallint NOT NULL DEFAULT 1,
        attempts integer NOT NULL DEFAULT 0,
        due_at timestamptz NOT NULL DEFAULT now()
    )
    """


def upgrade() -> None:
    """Expand only: a new table."""
    op.execute(PURGES)
    op.execute("CREATE INDEX edge_purges_due_at_idx ON edge_purges (due_at)")
