"""The HTML pages that wait to be rendered, the newest versions for the home page, and the pages' state."""

from __future__ import annotations

from alembic import op

revision = "0018"
down_revision = "0017"

STATEMENTS = (
    """
    CREATE TABLE page_changes (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        package_id uuid NOT NULL
    )
    """,
    """
    CREATE TABLE page_releases (
        package_id uuid NOT NULL,
        version text NOT NULL,
        published_at timestamptz NOT NULL,
        PRIMARY KEY (package_id, version)
    )
    """,
    """
    CREATE TABLE page_state (
        id smallint PRIMARY KEY DEFAULT 1,
        edition text NOT NULL DEFAULT '',
        built_at timestamptz NOT NULL DEFAULT now(),
        CONSTRAINT page_state_one_row CHECK (id = 1)
    )
    """,
    "INSERT INTO page_state DEFAULT VALUES",
)


def upgrade() -> None:
    """Expand only: nothing that an older server uses changes."""
    for statement in STATEMENTS:
        op.execute(statement)
