"""Counts the totals of search without waiting, so that a stopped worker that locks them blocks nobody.

Each transaction that adds or removes names changes totals that all others change too, so each one used to
wait for the previous one to end. Now a transaction changes the totals only if it gets their lock at once.
Otherwise it stores its changes beside the totals, and the next one that gets the lock adds them. Readers add
up both.
"""

from __future__ import annotations

from alembic import op

revision = "0012"
down_revision = "0011"

LOCK = 0x7830375F746F7473

CHANGES = """
    CREATE TABLE search_total_changes (
        gram text COLLATE "C" NOT NULL,
        packages bigint NOT NULL,
        scale_tested bigint NOT NULL
    )
    """

# `change` numbers the states of a total: every counted change is one state.
COUNT = """
    CREATE OR REPLACE FUNCTION {function}() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF NOT pg_try_advisory_xact_lock({lock}) THEN
            INSERT INTO search_total_changes (gram, packages, scale_tested)
            SELECT gram, sum(packages), sum(tested)
            FROM ({changes}) AS changes CROSS JOIN unnest(short_grams(name)) AS gram GROUP BY gram;
            RETURN NULL;
        END IF;
        WITH earlier AS (
            DELETE FROM search_total_changes RETURNING gram, packages, scale_tested
        ), changed AS (
            SELECT gram, packages, scale_tested, 1 AS changes FROM earlier
            UNION ALL
            SELECT gram, sum(packages), sum(tested), 1
            FROM ({changes}) AS changes CROSS JOIN unnest(short_grams(name)) AS gram GROUP BY gram
        )
        INSERT INTO search_totals AS totals (gram, packages, scale_tested, change)
        SELECT gram, sum(packages), sum(scale_tested), sum(changes) FROM changed
        GROUP BY gram ORDER BY gram COLLATE "C"
        ON CONFLICT (gram) DO UPDATE
        SET packages = totals.packages + EXCLUDED.packages,
            scale_tested = totals.scale_tested + EXCLUDED.scale_tested,
            change = totals.change + EXCLUDED.change;
        RETURN NULL;
    END
    $$
    """

ADDED = "SELECT name, 1 AS packages, scale_tested::int AS tested FROM added"
REMOVED = "SELECT name, -1 AS packages, -scale_tested::int AS tested FROM removed"
COUNTED = (("insert", ADDED), ("delete", REMOVED), ("update", f"{ADDED} UNION ALL {REMOVED}"))


def upgrade() -> None:
    """Expand only. A write server of an older release sees stored changes only when they are counted."""
    op.execute(CHANGES)
    op.execute("CREATE INDEX search_total_changes_gram_idx ON search_total_changes (gram)")
    for event, changes in COUNTED:
        function = f"search_names_count_{event}"
        op.execute(COUNT.format(function=function, changes=changes, lock=LOCK))
