"""The transparency log: its entries, the lines that wait to become entries, and the last signed tree head.

For each version, `log_lines` records the line that was last handed to the log, so that a line is logged once.
`lines_generation` is the generation up to which a package's lines were compared with it. An older worker
raises only `published_generation`; a newer one finds the packages for which it did (docs/log.md).
"""

from __future__ import annotations

from alembic import op

revision = "0008"
down_revision = "0007"

STATEMENTS = (
    """
    CREATE TABLE log_state (
        id smallint PRIMARY KEY DEFAULT 1,
        origin text NOT NULL,
        size bigint NOT NULL,
        root bytea NOT NULL,
        edge bytea[] NOT NULL,
        previous_size bigint,
        previous_root bytea,
        backfilled_at timestamptz,
        CONSTRAINT log_state_one_row CHECK (id = 1)
    )
    """,
    """
    CREATE TABLE log_entries (
        entry_index bigint PRIMARY KEY,
        name text NOT NULL,
        version text NOT NULL,
        entry bytea NOT NULL,
        published_at timestamptz NOT NULL
    )
    """,
    "CREATE INDEX log_entries_line_idx ON log_entries (name, version, entry_index)",
    """
    CREATE TABLE log_pending (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        name text NOT NULL,
        version text NOT NULL,
        entry bytea NOT NULL,
        published_at timestamptz NOT NULL DEFAULT now()
    )
    """,
    """
    CREATE TABLE log_lines (
        name text NOT NULL,
        version text NOT NULL,
        digest bytea NOT NULL,
        PRIMARY KEY (name, version)
    )
    """,
    "ALTER TABLE index_state ADD COLUMN lines_generation bigint NOT NULL DEFAULT 0",
    """
    CREATE INDEX index_state_unlogged_idx ON index_state (package_id)
        WHERE published_generation > lines_generation
    """,
)


def upgrade() -> None:
    """Expand only: nothing that an older server uses changes."""
    for statement in STATEMENTS:
        op.execute(statement)
