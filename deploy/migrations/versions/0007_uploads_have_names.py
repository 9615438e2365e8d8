"""Gives each staged upload a name of its own. Names that garbage collection has retired are never used again.

An older server adds versions without a name: their archives are in staging/ under the checksum alone, where a
worker of this release finds them too. An older worker does not know the names. It leaves such a version
unpublished, and a newer worker publishes it: upgrade workers before write servers (docs/upgrades.md).
"""

from __future__ import annotations

from alembic import op

revision = "0007"
down_revision = "0006"

STATEMENTS = (
    "ALTER TABLE version_state ADD COLUMN upload_id text",
    """
    CREATE TABLE collected_uploads (
        upload_id text PRIMARY KEY,
        collected_at timestamptz NOT NULL DEFAULT now()
    )
    """,
)


def upgrade() -> None:
    """Expand only: nothing that an older server uses changes."""
    for statement in STATEMENTS:
        op.execute(statement)
