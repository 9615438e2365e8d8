"""The rows that a statement reads do not grow with the registry; Postgres explains each statement at size."""

from __future__ import annotations

from typing import Any, Final

from api.write.queries import sessions, signatures, tombstones, users, versions
from indexer.queries import packages, scrub, tree
from indexer.queries.expiry import remove_expired
from shared.blobs import staging_key
from shared.database import Database
from tests.archives import hello_archive
from tests.plans import watching_reads
from tests.stack import ALL_SCOPES, Registry, bearer

PACKAGES: Final = 10_000
VERSIONS_OF_ONE: Final = 800
# A statement may read each row of the package with the most versions once, and a page of others. An index
# also has the rows that the run has replaced.
MAX_ROWS: Final = 2 * VERSIONS_OF_ONE + 500

FILL = """
    WITH bob AS (INSERT INTO users (handle) VALUES ('bob') RETURNING id)
    INSERT INTO packages (name, created_by, latest_version)
    SELECT 'pkg-' || n || '-' || substr(md5(n::text), 1, 6), bob.id, '0.3.0'
    FROM bob, generate_series(1, {packages}) AS n;
    INSERT INTO package_owners (package_id, user_id) SELECT id, created_by FROM packages;
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
    FROM package_versions v JOIN packages p ON p.id = v.package_id
"""


# These read every package on purpose: the catalog, and the count at the start of a round of healing.
WHOLE: Final = frozenset(
    {"indexer/queries/catalog.py:catalog_lines", "indexer/queries/tree.py:count_packages"}
)


async def fill(registry: Registry) -> None:
    """Insert packages of three versions each, and one with many, as if workers had published them."""
    database = Database(registry.settings, is_patient=True)
    try:
        async with database.transaction() as tx:
            for statement in FILL.format(packages=PACKAGES, many=VERSIONS_OF_ONE).split(";\n"):
                await tx.exec_driver_sql(statement)
            await tx.exec_driver_sql("ANALYZE")
    finally:
        await database.close()


async def use(registry: Registry) -> None:
    """Use a large registry like its clients."""
    (bob,) = await registry.rows("SELECT id FROM users WHERE handle = 'bob'")
    headers = bearer(await registry.add_token(bob.id, *ALL_SCOPES))
    many, other = await registry.rows("SELECT name FROM packages ORDER BY name LIMIT 2")
    await registry.add_user("carol")
    for archive in (
        hello_archive("new-one", meta={"x07c_compat": "*", "requires_packages": [f"{many.name}@1.0.0"]}),
        hello_archive(many.name, "2.0.0"),
        hello_archive(other.name, "2.0.0"),
    ):
        assert (await registry.publish(archive, headers)).status_code == 200
    for method, path, body in _requests(many.name):
        answer = await registry.http.request(method, path, json=body, headers=headers)
        assert answer.status_code < 300, (method, path, answer.text)


def _requests(name: str) -> list[tuple[str, str, Any]]:
    advisory = {"kind": "broken", "severity": "low", "summary": "It breaks."}
    package, version = f"/v1/packages/{name}", f"/v1/packages/{name}/1.7.0"
    return [
        ("GET", package, None),
        ("GET", f"{package}/owners", None),
        ("POST", f"{package}/owners", {"handle": "carol"}),
        ("DELETE", f"{package}/owners/carol", None),
        ("GET", f"{package}/dependents", None),
        ("POST", f"{version}/yank", {"yanked": True}),
        ("POST", f"{version}/advisories", advisory),
        ("GET", f"{version}/advisories", None),
        ("GET", "/v1/search?q=", None),
        ("GET", "/v1/search?q=7a", None),
        ("GET", "/v1/search?q=no-such-name", None),
        ("GET", "/v1/search?q=-1234-", None),
        ("GET", "/v1/search?q=pkg&scale_tested=true", None),
        ("GET", "/v1/archetypes", None),
        ("GET", "/v1/account", None),
        ("GET", "/v1/auth/session", None),
        ("POST", "/v1/tokens", {"label": "ci", "scopes": ["publish"]}),
        ("GET", "/v1/tokens", None),
    ]


async def look_up(registry: Registry) -> None:
    """Run the queries of sign-in, of `verify` and of the metrics on a large registry."""
    (bob,) = await registry.rows("SELECT id FROM users WHERE handle = 'bob'")
    (many,) = await registry.rows("SELECT id, name FROM packages ORDER BY name LIMIT 1")
    releases = {(many.name, f"1.{minor}.0") for minor in range(1, 251)}
    async with registry.database.transaction() as tx:
        await tree.known_versions(tx, releases)
        await tree.removed_among(tx, releases)
        await tree.known_names(tx, {many.name})
        await tree.packages_among(tx, {many.name})
        await tree.is_awaited(tx, staging_key("0" * 64, "1" * 32))
        await tree.oldest_catalog_change_s(tx)
        await packages.backlog(tx)
        await scrub.count_findings(tx)
        await remove_expired(tx)
        await sessions.by_hashes(tx, ["0" * 64])
        await users.by_github_id(tx, 7)
        await users.is_admin(tx, bob.id)
        await users.has_history(tx, bob.id)
        await tombstones.of_package(tx, many.id)
        await signatures.page_of_unsigned(tx, ("", ""), 100)
        await versions.summaries(tx, many.id)


async def test_no_statement_of_a_tier_reads_the_whole_registry(fs_registry: Registry) -> None:
    """This covers requests, and workers that publish, sweep and compare storage."""
    await fill(fs_registry)
    with watching_reads() as reads:
        await use(fs_registry)
        await look_up(fs_registry)
        await fs_registry.until_in_catalog("new-one", "0.1.0")
    assert reads.over(MAX_ROWS, WHOLE) == []
    assert len(reads.rows) > 50, sorted(reads.rows)
