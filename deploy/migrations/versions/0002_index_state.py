"""The transactional outbox: the state of publication of each package and version.

Every existing package begins as dirty, so that a worker publishes it. The deployed server neither reads nor
writes these tables; its own inserts still work.
"""

from __future__ import annotations

from alembic import op

revision = "0002"
down_revision = "0001"

STATEMENTS = (
    """
    CREATE TABLE index_state (
        package_id uuid PRIMARY KEY REFERENCES packages (id) ON DELETE CASCADE,
        generation bigint NOT NULL DEFAULT 1,
        published_generation bigint NOT NULL DEFAULT 0,
        catalog_line bytea,
        dirty_since timestamptz,
        published_at timestamptz
    )
    """,
    """
    CREATE INDEX index_state_dirty_idx ON index_state (package_id)
        WHERE generation > published_generation
    """,
    """
    CREATE TABLE catalog_changes (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        package_id uuid NOT NULL,
        created_at timestamptz NOT NULL DEFAULT now()
    )
    """,
    """
    CREATE TABLE version_state (
        package_id uuid NOT NULL,
        version text NOT NULL,
        staged boolean NOT NULL DEFAULT true,
        metadata_digest text,
        PRIMARY KEY (package_id, version),
        FOREIGN KEY (package_id, version)
            REFERENCES package_versions (package_id, version) ON DELETE CASCADE
    )
    """,
    'CREATE INDEX packages_name_bytes_idx ON packages (name COLLATE "C")',
    "INSERT INTO index_state (package_id, dirty_since) SELECT id, now() FROM packages",
)


def upgrade() -> None:
    """Expand only: nothing that the deployed server uses changes."""
    for statement in STATEMENTS:
        op.execute(statement)
