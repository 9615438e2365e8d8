"""Versions that were removed for legal reasons: they are never published again, and their files are deleted.

The key refers to the package without a cascade, so that the package's row stays as long as a version of it
must not be published. A server of an older release does not know the table and would publish such a version
again. Nothing is therefore removed before every process has this release (docs/commands.md).
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
