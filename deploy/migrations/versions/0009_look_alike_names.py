"""An index of folded names, with which a publish finds packages that look like a new one.

It is not unique: packages that look alike may exist already, and an owner of one may add the other. A lock on
the folded name (shared/locks.py) prevents that two such packages are added at the same time. A server of an
older release takes no such lock and refuses no name.
"""

from __future__ import annotations

from alembic import op

revision = "0009"
down_revision = "0008"

# The same expression as in api/write/queries/publishes.py; otherwise the planner would not use the index.
INDEX = """
    CREATE INDEX packages_folded_name_idx
    ON packages (regexp_replace(lower(name COLLATE "C"), '[-_]+', '-', 'g'))
    """


def upgrade() -> None:
    """Expand only: nothing that an older server uses changes."""
    op.execute(INDEX)
