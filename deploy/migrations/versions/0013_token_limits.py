"""Tokens with an end and an aim, beside the older server's table of tokens.

A token without a row has no limits, as every token had none until now. An older server that still runs during
an upgrade does not know of the limits; no token has any before the new release makes one.
"""

from __future__ import annotations

from alembic import op

revision = "0013"
down_revision = "0012"

TABLE = """
    CREATE TABLE token_limits (
        token_id uuid PRIMARY KEY REFERENCES tokens (id) ON DELETE CASCADE,
        expires_at timestamptz,
        packages text[],
        provenance jsonb
    )
    """


def upgrade() -> None:
    """Expand only: nothing that an older server uses changes."""
    op.execute(TABLE)
