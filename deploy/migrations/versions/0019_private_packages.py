"""Packages that were published as private ones of a public registry, which no public list may contain."""

from __future__ import annotations

from alembic import op

revision = "0019"
down_revision = "0018"

STATEMENTS = (
    """
    CREATE TABLE private_packages (
        package_id uuid PRIMARY KEY REFERENCES packages (id) ON DELETE CASCADE,
        catalog_line bytea NOT NULL,
        published_at timestamptz NOT NULL DEFAULT now()
    )
    """,
    "CREATE INDEX private_packages_published_at_idx ON private_packages (published_at)",
    "CREATE INDEX tokens_admin_idx ON tokens (id) WHERE revoked_at IS NULL AND 'admin' = ANY(scopes)",
)


def upgrade() -> None:
    """Expand only: a new table, which older workers do not know."""
    for statement in STATEMENTS:
        op.execute(statement)
