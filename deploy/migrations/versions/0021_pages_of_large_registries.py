"""What pages would otherwise count anew at each build: the places of packages, totals, what is required."""

from __future__ import annotations

from alembic import op

revision = "0021"
down_revision = "0020"

STATEMENTS = (
    """
    CREATE TABLE page_positions (
        package_id uuid PRIMARY KEY,
        position integer NOT NULL UNIQUE,
        versions integer NOT NULL
    )
    """,
    """
    INSERT INTO page_positions (package_id, position, versions)
    SELECT id, row_number() OVER (ORDER BY created_at, name),
           (SELECT count(*) FROM package_versions v WHERE v.package_id = packages.id)
    FROM packages WHERE id NOT IN (SELECT package_id FROM private_packages)
    """,
    """
    CREATE TABLE page_totals (
        id smallint PRIMARY KEY DEFAULT 1,
        packages integer NOT NULL,
        versions integer NOT NULL,
        CONSTRAINT page_totals_one_row CHECK (id = 1)
    )
    """,
    """
    INSERT INTO page_totals (packages, versions)
    SELECT count(*), COALESCE(sum(versions), 0) FROM page_positions
    """,
    "CREATE TABLE page_required (name text PRIMARY KEY, dependents integer NOT NULL)",
    "CREATE INDEX page_required_dependents_idx ON page_required (dependents DESC, name)",
    """
    INSERT INTO page_required (name, dependents)
    SELECT required, count(DISTINCT package_id) FROM package_requirements GROUP BY required
    """,
    "ALTER TABLE page_state ADD COLUMN build uuid",
)


def upgrade() -> None:
    """Expand only: nothing that an older server uses changes."""
    for statement in STATEMENTS:
        op.execute(statement)
