"""The secrets of a sign-in attempt: its PKCE verifier, and the hash of the browser that began it.

They are in a table beside `oauth_states`. An attempt of the deployed server has no row here, and rows that
this server deletes there are deleted here too.
"""

from __future__ import annotations

from alembic import op

revision = "0003"
down_revision = "0002"

TABLE = """
CREATE TABLE oauth_state_secrets (
    state text PRIMARY KEY REFERENCES oauth_states (state) ON DELETE CASCADE,
    code_verifier text NOT NULL,
    browser_hash text NOT NULL
)
"""


def upgrade() -> None:
    """Expand only: nothing that the deployed server uses changes."""
    op.execute(TABLE)
