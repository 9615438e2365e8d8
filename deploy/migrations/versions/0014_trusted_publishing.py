"""Trusted publishing: who may publish from continuous integration, and which build a version came from."""

from __future__ import annotations

from alembic import op

revision = "0014"
down_revision = "0013"

STATEMENTS = (
    # name, not package_id: a publisher may wait for the first version of a package.
    """
    CREATE TABLE trusted_publishers (
        id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
        name text NOT NULL,
        user_id uuid NOT NULL REFERENCES users (id) ON DELETE CASCADE,
        kind text NOT NULL,
        issuer text NOT NULL,
        repository text NOT NULL,
        workflow text NOT NULL,
        environment text,
        owner_id text,
        created_at timestamptz NOT NULL DEFAULT now()
    )
    """,
    "CREATE INDEX trusted_publishers_name_idx ON trusted_publishers (name)",
    "CREATE INDEX trusted_publishers_user_id_idx ON trusted_publishers (user_id)",
    "CREATE INDEX trusted_publishers_repository_idx ON trusted_publishers (lower(repository), issuer)",
    """
    CREATE TABLE used_identities (
        issuer text NOT NULL,
        jti text NOT NULL,
        expires_at timestamptz NOT NULL,
        PRIMARY KEY (issuer, jti)
    )
    """,
    "CREATE INDEX used_identities_expires_at_idx ON used_identities (expires_at)",
    """
    CREATE TABLE package_rules (
        package_id uuid PRIMARY KEY REFERENCES packages (id) ON DELETE CASCADE,
        trusted_publishing_only boolean NOT NULL DEFAULT false
    )
    """,
    """
    CREATE TABLE version_provenance (
        package_id uuid NOT NULL,
        version text NOT NULL,
        provenance jsonb NOT NULL,
        PRIMARY KEY (package_id, version),
        FOREIGN KEY (package_id, version) REFERENCES package_versions (package_id, version) ON DELETE CASCADE
    )
    """,
    # No foreign key: a publisher is removed, and the token that it made stays in the audit trail.
    "ALTER TABLE token_limits ADD COLUMN publisher_id uuid",
    """
    CREATE INDEX token_limits_publisher_id_idx ON token_limits (publisher_id) WHERE publisher_id IS NOT NULL
    """,
)


def upgrade() -> None:
    """Expand only: nothing that an older server uses changes."""
    for statement in STATEMENTS:
        op.execute(statement)
