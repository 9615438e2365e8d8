"""Tables for search, archetypes and reverse dependencies: the facts about each package's latest version.

The worker writes a package's rows when it publishes the package. This migration makes every package dirty, so
that a worker writes the rows of existing packages.
"""

from __future__ import annotations

from alembic import op
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from shared.errors import DatabaseFailed

revision = "0004"
down_revision = "0003"

EXTENSION_MISSING = (
    "the Postgres extension pg_trgm is missing, and this role may not create it or the server does not "
    "have it: install postgresql-contrib if need be, run CREATE EXTENSION pg_trgm in this database as "
    "its owner or a superuser, then migrate again"
)

LISTINGS = """
    CREATE TABLE package_listings (
        package_id uuid PRIMARY KEY REFERENCES packages (id) ON DELETE CASCADE,
        name text COLLATE "C" NOT NULL UNIQUE,
        latest_version text,
        is_official boolean NOT NULL,
        description text,
        modules_count integer NOT NULL,
        facets text[] NOT NULL,
        archetypes text[] NOT NULL,
        archetype_document text
    ) WITH (fillfactor = 80)
    """

# Narrow on purpose: matching reads nothing else, and the rows hardly ever change.
NAMES = """
    CREATE TABLE search_names (
        name text COLLATE "C" PRIMARY KEY REFERENCES package_listings (name) ON DELETE CASCADE,
        scale_tested boolean NOT NULL
    )
    """

# pg_trgm needs three characters. For the empty query and for one or two characters there are totals, and an
# index of those grams; the function's cost keeps the planner from calling it for each name. The change
# of the empty text numbers the states of the whole set of names.
GRAMS = """
    CREATE FUNCTION short_grams(name text) RETURNS text[]
    LANGUAGE sql IMMUTABLE PARALLEL SAFE COST 10000 AS $$
        SELECT array_agg(DISTINCT substr(name, place, size) COLLATE "C")
        FROM generate_series(1, length(name)) AS place, generate_series(0, 2) AS size
        WHERE place + size - 1 <= length(name)
    $$
    """

TOTALS = """
    CREATE TABLE search_totals (
        gram text COLLATE "C" PRIMARY KEY,
        packages bigint NOT NULL,
        scale_tested bigint NOT NULL,
        change bigint NOT NULL DEFAULT 1
    ) WITH (fillfactor = 50)
    """

# A trigger counts whole statements, so that many names at once update each total once. Grams are locked in
# order, so that two workers never deadlock.
COUNT = """
    CREATE FUNCTION {function}() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        INSERT INTO search_totals AS totals (gram, packages, scale_tested)
        SELECT gram, sum(packages), sum(tested)
        FROM ({changes}) AS changes CROSS JOIN unnest(short_grams(name)) AS gram
        GROUP BY gram ORDER BY gram COLLATE "C"
        ON CONFLICT (gram) DO UPDATE
        SET packages = totals.packages + EXCLUDED.packages,
            scale_tested = totals.scale_tested + EXCLUDED.scale_tested,
            change = totals.change + 1;
        RETURN NULL;
    END
    $$
    """

TRIGGER = """
    CREATE TRIGGER {function} AFTER {event} ON search_names REFERENCING {tables}
    FOR EACH STATEMENT EXECUTE FUNCTION {function}()
    """

ADDED = "SELECT name, 1 AS packages, scale_tested::int AS tested FROM added"
REMOVED = "SELECT name, -1 AS packages, -scale_tested::int AS tested FROM removed"
COUNTED = (
    ("INSERT", "NEW TABLE AS added", ADDED),
    ("DELETE", "OLD TABLE AS removed", REMOVED),
    ("UPDATE", "NEW TABLE AS added OLD TABLE AS removed", f"{ADDED} UNION ALL {REMOVED}"),
)

REQUIREMENTS = """
    CREATE TABLE package_requirements (
        required text COLLATE "C" NOT NULL,
        name text COLLATE "C" NOT NULL,
        requirement text COLLATE "C" NOT NULL,
        package_id uuid NOT NULL REFERENCES package_listings (package_id) ON DELETE CASCADE,
        PRIMARY KEY (required, name, requirement)
    )
    """

INDEXES = (
    "CREATE INDEX search_names_rank_idx ON search_names (octet_length(name), name)",
    "CREATE INDEX search_names_tested_idx ON search_names (name) WHERE scale_tested",
    "CREATE INDEX search_names_tested_rank_idx ON search_names (octet_length(name), name) WHERE scale_tested",
    "CREATE INDEX search_names_grams_idx ON search_names USING gin (short_grams(name))"
    " WITH (fastupdate = off)",
    "CREATE INDEX search_names_trigrams_idx ON search_names USING gin (name {trigrams})"
    " WITH (fastupdate = off)",
    "CREATE INDEX package_listings_archetypes_idx ON package_listings USING gin (archetypes)"
    " WITH (fastupdate = off)",
    "CREATE INDEX package_listings_archetyped_idx ON package_listings (name) WHERE archetypes <> '{{}}'",
    "CREATE INDEX package_listings_document_idx ON package_listings"
    " USING gin (archetype_document {trigrams}) WITH (fastupdate = off) WHERE archetypes <> '{{}}'",
    "CREATE INDEX package_requirements_package_id_idx ON package_requirements (package_id)",
)

MAKE_DIRTY = """
    UPDATE index_state SET generation = generation + 1, dirty_since = COALESCE(dirty_since, now())
    WHERE generation = published_generation
    """


def upgrade() -> None:
    """Expand only. Raises DatabaseFailed if pg_trgm is missing and cannot be created."""
    connection = op.get_bind()
    _create_extension(connection)
    for statement in (LISTINGS, NAMES, GRAMS, TOTALS, REQUIREMENTS):
        op.execute(statement)
    for event, tables, changes in COUNTED:
        function = f"search_names_count_{event.lower()}"
        op.execute(COUNT.format(function=function, changes=changes))
        op.execute(TRIGGER.format(function=function, event=event, tables=tables))
    trigrams = _trigram_operators(connection)
    for index in INDEXES:
        op.execute(index.format(trigrams=trigrams))
    op.execute(MAKE_DIRTY)


def _create_extension(connection: Connection) -> None:
    try:
        connection.execute(text("CREATE EXTENSION IF NOT EXISTS pg_trgm"))
    except DBAPIError as error:
        raise DatabaseFailed(EXTENSION_MISSING) from error


def _trigram_operators(connection: Connection) -> str:
    """The operator class with its schema, because the extension may be outside our search_path."""
    schema = connection.execute(
        text(
            """
            SELECT quote_ident(n.nspname)
            FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace
            WHERE e.extname = 'pg_trgm'
            """
        )
    ).scalar_one()
    return f"{schema}.gin_trgm_ops"
