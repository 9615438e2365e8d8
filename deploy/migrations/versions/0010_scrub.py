"""Scrubbing: the workers' position in hashing archives again, and the archives that differ from their rows.

Both are in tables, so that workers share a round, a restarted worker continues after the last archive, and
a difference is remembered until it is repaired.
"""

from __future__ import annotations

from alembic import op

revision = "0010"
down_revision = "0009"

STATEMENTS = (
    """
    CREATE TABLE scrub_progress (
        id smallint PRIMARY KEY DEFAULT 1,
        name text NOT NULL DEFAULT '',
        version text NOT NULL DEFAULT '',
        next_round_at timestamptz NOT NULL DEFAULT now(),
        CONSTRAINT scrub_progress_one_row CHECK (id = 1)
    )
    """,
    "INSERT INTO scrub_progress DEFAULT VALUES",
    """
    CREATE TABLE scrub_findings (
        package_id uuid NOT NULL,
        version text NOT NULL,
        kind text NOT NULL,
        found_at timestamptz NOT NULL DEFAULT now(),
        checked_at timestamptz NOT NULL DEFAULT now(),
        PRIMARY KEY (package_id, version),
        FOREIGN KEY (package_id, version)
            REFERENCES package_versions (package_id, version) ON DELETE CASCADE
    )
    """,
)


def upgrade() -> None:
    """Expand only: nothing that an older server uses changes."""
    for statement in STATEMENTS:
        op.execute(statement)
