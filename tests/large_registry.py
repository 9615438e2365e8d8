"""Fills a database as if workers had published many packages, of which one has many versions."""

from __future__ import annotations

from typing import Final

from sqlalchemy import text

from shared.database import Database
from shared.settings import Settings

PACKAGES: Final = 10_000
VERSIONS_OF_ONE: Final = 800
FILL = """
    INSERT INTO users (handle) SELECT 'user-' || n FROM generate_series(1, {packages}) AS n;
    INSERT INTO tokens (user_id, token_hash, scopes)
    SELECT id, md5(handle) || md5(handle), '{{publish}}' FROM users;
    INSERT INTO packages (name, created_by, latest_version)
    SELECT 'pkg-' || n || '-' || substr(md5(n), 1, 6), id, '0.3.0'
    FROM (SELECT id, substr(handle, 6) AS n FROM users) AS numbered;
    INSERT INTO users (handle) VALUES ('bob');
    INSERT INTO package_owners (package_id, user_id) SELECT id, created_by FROM packages;
    INSERT INTO package_owners (package_id, user_id)
    SELECT p.id, u.id FROM packages p, users u WHERE u.handle = 'bob' AND p.name ~ '^pkg-1.?-';
    INSERT INTO package_versions (package_id, version, cksum, manifest, published_by)
    SELECT p.id, '0.' || n || '.0', md5(p.name || n) || md5(n || p.name),
        jsonb_build_object('name', p.name, 'description', 'It does things.', 'modules', '["a"]'::jsonb),
        p.created_by
    FROM packages p, generate_series(1, 3) AS n;
    INSERT INTO package_versions (package_id, version, cksum, manifest, published_by)
    SELECT p.id, '1.' || n || '.0', md5('many' || n) || md5(n || 'many'),
        jsonb_build_object('name', p.name, 'description', 'It does things.', 'modules', '["a"]'::jsonb),
        p.created_by
    FROM (SELECT * FROM packages ORDER BY name LIMIT 1) p, generate_series(1, {many}) AS n;
    INSERT INTO version_state (package_id, version, staged) SELECT package_id, version, false
    FROM package_versions;
    INSERT INTO package_listings
    SELECT id, name, '0.3.0', false, 'It does things.', 1, '{{binding:s3}}', '{{}}', NULL FROM packages;
    ALTER TABLE search_names DISABLE TRIGGER USER;
    INSERT INTO search_names SELECT name, false FROM packages;
    ALTER TABLE search_names ENABLE TRIGGER USER;
    INSERT INTO index_state (package_id, generation, published_generation, lines_generation, catalog_line)
    SELECT id, 1, 1, 1, convert_to(json_build_object('name', name, 'latest', '0.3.0')::text, 'UTF8')
    FROM packages;
    INSERT INTO log_lines SELECT p.name, v.version, decode(v.cksum, 'hex')
    FROM package_versions v JOIN packages p ON p.id = v.package_id;
    INSERT INTO page_positions SELECT id, row_number() OVER (), 3 FROM packages;
    UPDATE page_totals SET packages = {packages}, versions = 3 * {packages};
    INSERT INTO page_required SELECT name, 1 FROM packages;
    INSERT INTO package_requirements (required, name, requirement, package_id)
    SELECT lag(name, 1, 'pkg-0') OVER (ORDER BY name), name, '*', id FROM packages;
    INSERT INTO page_releases SELECT id, '0.3.0', now() FROM packages LIMIT 100;
    INSERT INTO edge_purges (surrogate_key, due_at)
    SELECT 'package/' || n, now() + interval '1 hour' FROM generate_series(1, {packages}) AS n;
    INSERT INTO webhooks (user_id, url, events, secret)
    SELECT created_by, 'https://example.com/' || row_number() OVER (), '{{publish}}', 's'
    FROM packages LIMIT 100;
    INSERT INTO webhook_events (package_id, generation, type, data)
    SELECT id, 1, 'publish', '{{}}' FROM packages;
    INSERT INTO webhook_deliveries (event_id, hook_id, package_id, attempts, done_at)
    SELECT e.id, h.id, e.package_id, 1, now() FROM webhook_events e, (SELECT id FROM webhooks LIMIT 1) h;
    INSERT INTO trusted_publishers (name, user_id, kind, issuer, repository, workflow)
    SELECT name, created_by, 'github', 'https://issuer.example', 'org/' || name, 'ci.yml' FROM packages;
    INSERT INTO used_identities SELECT 'https://issuer.example', n::text, now() + interval '1 hour'
    FROM generate_series(1, {packages}) AS n;
    INSERT INTO package_rules SELECT id, false FROM packages
"""


async def fill(settings: Settings) -> None:
    """Insert packages of three versions each, and one with many."""
    database = Database(settings, is_patient=True)
    try:
        async with database.transaction() as tx:
            for statement in FILL.format(packages=PACKAGES, many=VERSIONS_OF_ONE).split(";\n"):
                await tx.exec_driver_sql(statement)
    finally:
        await database.close()


_BIG_TABLES: Final = text("SELECT relname FROM pg_class WHERE relkind = 'r' AND reltuples > :rows")


async def tidy(settings: Settings, rows: int) -> set[str]:
    """Remove replaced rows and renew statistics, as autovacuum does. Returns the tables with more rows."""
    database = Database(settings, is_patient=True)
    try:
        async with database.reading() as connection:
            await connection.exec_driver_sql("VACUUM ANALYZE")
            return set((await connection.execute(_BIG_TABLES, {"rows": rows})).scalars())
    finally:
        await database.close()
