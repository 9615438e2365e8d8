"""The state of the published tree as a whole: the number of the last catalog.

Storage has a catalog's number too. A database that knows only an older one was restored from a backup, or is
a standby that lagged (shared/high_water.py).
"""

from __future__ import annotations

from alembic import op

revision = "0011"
down_revision = "0010"

STATEMENTS = (
    """
    CREATE TABLE tree_state (
        id smallint PRIMARY KEY DEFAULT 1,
        catalog_generation bigint NOT NULL DEFAULT 0,
        CONSTRAINT tree_state_one_row CHECK (id = 1)
    )
    """,
    "INSERT INTO tree_state DEFAULT VALUES",
)


def upgrade() -> None:
    """Expand only: nothing that an older server uses changes."""
    for statement in STATEMENTS:
        op.execute(statement)
