"""The rows that a statement reads do not grow with the registry; Postgres explains each statement at size."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import uuid4

from api.write.queries import (
    sessions,
    signatures,
    tombstones,
    trusted_publishers,
    users,
    versions,
    webhooks,
)
from indexer.queries import access, packages, page_lists, pages, private, purges, scrub, tree
from indexer.queries import webhooks as outbox
from indexer.queries.expiry import remove_expired
from shared.blobs import staging_key
from shared.database import Database
from shared.versions import VersionText
from tests.archives import hello_archive
from tests.plans import PROJECT, QUERY_MODULES, watching_reads
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


# These read every row on purpose: the catalog, the count at the start of a round of healing, and the hourly
# look for trusted publishers that wait for a first version.
WHOLE: Final = frozenset(
    {
        "indexer/queries/catalog.py:catalog_lines",
        "indexer/queries/expiry.py:remove_expired",
        "indexer/queries/tree.py:count_packages",
    }
)


# The log has a test of its own (tests/log/test_log_plans.py); its beginning and commands run once. Attempts
# to sign in are looked up by their key.
ELSEWHERE: Final = {
    "api/write/queries/oauth_states.py",
    "indexer/queries/log.py",
    "indexer/queries/log_filling.py",
    "indexer/queries/log_recovery.py",
    "indexer/queries/rebuild.py",
}


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


async def look_up_lately_added(registry: Registry) -> None:
    """Run the queries of pages, webhooks, purges, trusted publishing and private packages."""
    (bob,) = await registry.rows("SELECT id FROM users WHERE handle = 'bob'")
    (many,) = await registry.rows("SELECT id, name FROM packages ORDER BY name LIMIT 1")
    (hook,) = await registry.rows("SELECT hook_id AS id FROM webhook_deliveries LIMIT 1")
    assert not await pages.are_pages_dirty(registry.database)
    await pages.begin_build(registry.database, uuid4())
    async with registry.database.transaction() as tx:
        await pages.take_changes(tx, 50)
        await pages.put_releases(tx, [many.id], [(many.id, VersionText("2.0.0"), datetime.now(UTC))])
        await pages.count_dependents(tx, await pages.required_by(tx, ["new-one"]))
        await pages.dependents_of(tx, [many.name])
        await pages.home(tx, lambda _: True)
        await page_lists.place(tx, {many.id: VERSIONS_OF_ONE + 3})
        await page_lists.changed_pages(tx, [many.name])
        await page_lists.last_page(tx)
        await webhooks.of_user(tx, bob.id)
        await webhooks.find(tx, hook.id)
        await webhooks.count(tx, bob.id)
        await webhooks.deliveries(tx, hook.id, 100)
        await webhooks.add_test(tx, hook.id)
        await webhooks.start_again(tx, hook.id)
        assert await outbox.hooks_due(tx) == [hook.id]
        await outbox.take(tx, hook.id, 10, 60.0)
        await outbox.remove_old(tx, 30)
        await purges.want(tx, ["package/new"])
        taken = await purges.take(tx, 30, 60.0)
        await purges.done(tx, taken, 60.0)
        await trusted_publishers.of_package(tx, many.name)
        await trusted_publishers.of_repository(tx, "https://issuer.example", f"org/{many.name}")
        await trusted_publishers.use_identity(tx, "https://issuer.example", "new", datetime.now(UTC))
        await trusted_publishers.is_demanded(tx, [many.name])
        await private.last_private_change(tx)
        await private.private_lines(tx)
        await access.private_readers(tx, ["bob"])
        await scrub.take_next(tx, 10, timedelta(days=1))
        await scrub.take_findings(tx, 10, timedelta(0))


async def test_no_statement_of_a_tier_reads_the_whole_registry(fs_registry: Registry) -> None:
    """This covers requests, and workers that publish, sweep and compare storage."""
    await fill(fs_registry)
    with watching_reads() as reads:
        await use(fs_registry)
        await look_up(fs_registry)
        await look_up_lately_added(fs_registry)
        await fs_registry.until_in_catalog("new-one", "0.1.0")
    assert reads.over(MAX_ROWS, WHOLE) == []
    watched = {function.partition(":")[0] for function in reads.rows}
    assert {path for path in query_modules() if path not in watched} == ELSEWHERE


def query_modules() -> Iterator[str]:
    """The paths of the modules that have statements."""
    for folder in QUERY_MODULES:
        for path in sorted((PROJECT / folder).glob("*.py")):
            if "async def" in path.read_text():
                yield str(path.relative_to(PROJECT))
