"""Accepts publishes in one step of the database instead of five: locks, facts, rows, generation, commit.

Each statement of the function sees what was committed before it began, so the second one sees everything that
was committed before the locks were taken. It inserts only versions whose facts are those that the caller
decided by; the rules stay in Python (api/write/publish_commit.py).
"""

from __future__ import annotations

from alembic import op

revision = "0015"
down_revision = "0014"

ACCEPT = r"""
    CREATE FUNCTION accept_publishes(wanted jsonb) RETURNS TABLE (
        place integer, is_locked boolean, generation bigint, package_id uuid, latest_version text,
        is_owner boolean, is_taken boolean, is_required boolean, is_collected boolean, look_alike text,
        is_trusted_only boolean
    ) LANGUAGE plpgsql AS $$
    #variable_conflict use_column
    DECLARE
        locked integer[];
    BEGIN
        -- A worker holds the rows of index_state while it publishes, so they are locked, too. Nothing waits.
        WITH asked AS MATERIALIZED (
            SELECT place, name,
                   pg_try_advisory_xact_lock_shared(staging_lock) AND pg_try_advisory_xact_lock(package_lock)
                   AND pg_try_advisory_xact_lock(look_alike_lock) AS is_free
            FROM jsonb_to_recordset(wanted) AS asked (
                place integer, name text, staging_lock bigint, package_lock bigint, look_alike_lock bigint)
        ), known AS MATERIALIZED (
            SELECT s.package_id, asked.place
            FROM asked JOIN packages p ON p.name = asked.name JOIN index_state s ON s.package_id = p.id
            WHERE asked.is_free
        ), free AS MATERIALIZED (
            SELECT package_id FROM index_state WHERE package_id IN (SELECT package_id FROM known)
            FOR UPDATE SKIP LOCKED
        )
        SELECT COALESCE(array_agg(place), '{}') INTO locked FROM asked
        WHERE is_free AND place NOT IN (
            SELECT place FROM known WHERE package_id NOT IN (SELECT package_id FROM free)
        );
        RETURN QUERY
        WITH published AS MATERIALIZED (
            SELECT * FROM jsonb_to_recordset(wanted) AS published (
                place integer, known_id uuid, known_latest text, known_owner boolean, known_look_alike text,
                known_trusted_only boolean,
                folded_name text, new_id uuid, name text, becomes_latest boolean, version text, cksum text,
                upload_id text, manifest jsonb, user_id uuid, token_id uuid, scale_classes text[],
                scale_tested boolean, scale_evidence text, key_id text, signature text,
                provenance jsonb)
        ), standing AS MATERIALIZED (
            SELECT published.place, p.id AS package_id, p.latest_version,
                   EXISTS (SELECT 1 FROM package_owners o
                           WHERE o.package_id = p.id AND o.user_id = published.user_id) AS is_owner,
                   EXISTS (SELECT 1 FROM package_versions v
                           WHERE v.package_id = p.id AND v.version = published.version)
                   OR EXISTS (SELECT 1 FROM version_tombstones t
                              WHERE t.package_id = p.id AND t.version = published.version) AS is_taken,
                   EXISTS (SELECT 1 FROM package_requirements r WHERE r.required = published.name)
                   AS is_required,
                   EXISTS (SELECT 1 FROM collected_uploads c WHERE c.upload_id = published.upload_id)
                   AS is_collected,
                   CASE WHEN p.id IS NULL THEN (
                       SELECT other.name
                       FROM (SELECT id, name FROM packages
                             WHERE regexp_replace(lower(name COLLATE "C"), '[-_]+', '-', 'g')
                                   = published.folded_name
                             OFFSET 0) other
                       WHERE NOT EXISTS (SELECT 1 FROM package_owners o
                                         WHERE o.package_id = other.id AND o.user_id = published.user_id)
                       ORDER BY other.name COLLATE "C" LIMIT 1
                   ) END AS look_alike,
                   EXISTS (SELECT 1 FROM package_rules r
                           WHERE r.package_id = p.id AND r.trusted_publishing_only) AS is_trusted_only
            FROM published LEFT JOIN packages p ON p.name = published.name
        ), accepted AS MATERIALIZED (
            SELECT published.*, published.known_id IS NULL AS is_new_package,
                   COALESCE(published.known_id, published.new_id) AS package_id
            FROM published JOIN standing USING (place)
            WHERE place = ANY(locked) AND NOT standing.is_taken AND NOT standing.is_collected
              AND standing.package_id IS NOT DISTINCT FROM published.known_id
              AND standing.latest_version IS NOT DISTINCT FROM published.known_latest
              AND standing.is_owner = published.known_owner
              AND standing.look_alike IS NOT DISTINCT FROM published.known_look_alike
              AND standing.is_trusted_only = published.known_trusted_only
        ), new_packages AS (
            INSERT INTO packages (id, name, created_by, latest_version)
            SELECT package_id, name, user_id, version FROM accepted WHERE is_new_package
        ), new_owners AS (
            INSERT INTO package_owners (package_id, user_id)
            SELECT package_id, user_id FROM accepted WHERE is_new_package
        ), latest AS (
            UPDATE packages p SET latest_version = accepted.version FROM accepted
            WHERE p.id = accepted.package_id AND becomes_latest AND NOT is_new_package
        ), new_versions AS (
            INSERT INTO package_versions (package_id, version, cksum, manifest, published_by,
                                          scale_classes_supported, scale_tested, scale_test_evidence_ref,
                                          signature_kind, signature_key_id, signature_bytes)
            SELECT package_id, version, cksum, manifest, user_id, scale_classes, scale_tested, scale_evidence,
                   CASE WHEN key_id IS NOT NULL THEN 'ed25519' END, key_id, decode(signature, 'hex')
            FROM accepted
        ), staged AS (
            INSERT INTO version_state (package_id, version, upload_id)
            SELECT package_id, version, upload_id FROM accepted
        ), builds AS (
            INSERT INTO version_provenance (package_id, version, provenance)
            SELECT package_id, version, provenance FROM accepted WHERE provenance IS NOT NULL
        ), told AS (
            INSERT INTO audit_events (actor_user_id, actor_token_id, action, package_name, package_version)
            SELECT user_id, token_id, 'publish', name, version FROM accepted
        ), raised AS (
            INSERT INTO index_state (package_id, dirty_since)
            SELECT package_id, now() FROM accepted ORDER BY package_id
            ON CONFLICT (package_id) DO UPDATE
            SET generation = index_state.generation + 1,
                dirty_since = COALESCE(index_state.dirty_since, now())
            RETURNING package_id, generation
        )
        SELECT standing.place, standing.place = ANY(locked), raised.generation,
               COALESCE(accepted.package_id, standing.package_id), standing.latest_version,
               standing.is_owner, standing.is_taken, standing.is_required, standing.is_collected,
               standing.look_alike, standing.is_trusted_only
        FROM standing LEFT JOIN accepted ON accepted.place = standing.place
        LEFT JOIN raised ON raised.package_id = accepted.package_id
        ORDER BY standing.place;
    END
    $$
    """


def upgrade() -> None:
    """Expand only: a new function, which older servers do not call."""
    op.execute(ACCEPT)
