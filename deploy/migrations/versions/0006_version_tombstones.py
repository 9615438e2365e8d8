"""Versions that were removed for legal reasons: never published again, and their files are deleted.

The key refers to the package without a cascade: as long as a version of it must stay away, the package's
row stays. A server of an older release does not know the table: it would publish such a version again,
so nothing is removed before every process is of this release (docs/commands.md).
"""

from __future__ import annotations

from alembic import op

revision = "0006"
down_revision = "0005"

TABLE = """
CREATE TABLE version_tombstones (
    package_id uuid NOT NULL REFERENCES packages (id),
    version text NOT NULL,
    cksum text NOT NULL,
    reason text NOT NULL,
    removed_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (package_id, version)
)
"""


def upgrade() -> None:
    """Expand only: nothing that an older server uses changes."""
    op.execute(TABLE)
