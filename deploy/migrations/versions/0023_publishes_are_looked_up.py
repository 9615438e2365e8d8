"""Has a publish look up its packages, owners and rules, instead of reading those of the whole registry.

Postgres takes what comes out of JSON for a hundred rows. From some thousand packages on, reading all of them
seemed cheaper to it than a hundred look-ups, but most publishes need one. The function accept_publishes
touches few rows of each table, each by an index. It asks for a package's rule with a subquery that returns
the rule, because Postgres may answer EXISTS with a hash of all rules, whatever else is turned off.
"""

from __future__ import annotations

from importlib import import_module
from typing import Final

from alembic import op

revision = "0023"
down_revision = "0022"

BEFORE: Final[str] = import_module("deploy.migrations.versions.0015_accept_publishes").ACCEPT
HASHED: Final = """EXISTS (SELECT 1 FROM package_rules r
                           WHERE r.package_id = p.id AND r.trusted_publishing_only) AS is_trusted_only"""
LOOKED_UP: Final = """COALESCE((SELECT r.trusted_publishing_only FROM package_rules r
                             WHERE r.package_id = p.id), false) AS is_trusted_only"""
ACCEPT: Final = (
    BEFORE.replace("CREATE FUNCTION", "CREATE OR REPLACE FUNCTION", 1)
    .replace(HASHED, LOOKED_UP, 1)
    .replace(
        "LANGUAGE plpgsql AS",
        "LANGUAGE plpgsql SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off AS",
        1,
    )
)


def upgrade() -> None:
    """Expand only: the function has the parameters and the columns that older servers know."""
    op.execute(ACCEPT)
