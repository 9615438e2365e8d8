"""Triggers that bring other programs' changes of the tables to readers; indexes for walks over everything.

During a switch from the older server, or after an operator's own SQL, rows change without a raised
generation; these triggers raise it. Our own statements raise it themselves, once per transaction. The
triggers recognise them by the connection's application_name. Where a pooler changes that name, a generation
is raised once more than needed, which only publishes the same bytes again.
"""

from __future__ import annotations

from alembic import op

revision = "0005"
down_revision = "0004"

# Their search_path is fixed, because psql or the older server may have another.
RAISE = """
    CREATE FUNCTION raise_generation() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
    DECLARE changed uuid := CASE TG_OP WHEN 'DELETE' THEN OLD.package_id ELSE NEW.package_id END;
    BEGIN
        INSERT INTO index_state (package_id, dirty_since)
        SELECT id, now() FROM packages WHERE id = changed
        ON CONFLICT (package_id) DO UPDATE
        SET generation = index_state.generation + 1, dirty_since = COALESCE(index_state.dirty_since, now());
        RETURN NULL;
    END
    $$
    """

# The owners' handles decide whether a package is official.
RAISE_OWNED = """
    CREATE FUNCTION raise_generations_of_owner() RETURNS trigger
    LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
    BEGIN
        UPDATE index_state SET generation = generation + 1, dirty_since = COALESCE(dirty_since, now())
        WHERE package_id IN (SELECT package_id FROM package_owners WHERE user_id = NEW.id);
        RETURN NULL;
    END
    $$
    """

TRIGGER = """
    CREATE TRIGGER {table}_raise_generation AFTER INSERT OR UPDATE OR DELETE ON {table} FOR EACH ROW
    WHEN (current_setting('application_name') <> 'x07-registry') EXECUTE FUNCTION raise_generation()
    """

OWNER_TRIGGER = """
    CREATE TRIGGER users_raise_generations AFTER UPDATE OF handle ON users FOR EACH ROW
    WHEN (OLD.handle <> NEW.handle AND current_setting('application_name') <> 'x07-registry')
    EXECUTE FUNCTION raise_generations_of_owner()
    """

# Packages that were added or changed while the statements above waited for locks raised no generation.
MAKE_DIRTY = """
    INSERT INTO index_state (package_id, dirty_since) SELECT id, now() FROM packages
    ON CONFLICT (package_id) DO UPDATE
    SET generation = index_state.generation + 1, dirty_since = now()
    WHERE index_state.generation = index_state.published_generation
    """

INDEXES = (
    "CREATE INDEX version_state_staged_idx ON version_state (package_id, version) WHERE staged",
    "CREATE INDEX package_owners_user_id_idx ON package_owners (user_id)",
)


def upgrade() -> None:
    """Expand only: statements of the deployed server work as before."""
    op.execute(RAISE)
    op.execute(RAISE_OWNED)
    for table in ("package_versions", "package_owners", "package_version_advisories"):
        op.execute(TRIGGER.format(table=table))
    op.execute(OWNER_TRIGGER)
    for index in INDEXES:
        op.execute(index)
    op.execute(MAKE_DIRTY)
