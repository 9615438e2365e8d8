"""The rows that a statement reads do not grow with the registry; Postgres explains each statement at size."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID, uuid4

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from api.write.queries import (
    advisories,
    archetypes,
    oauth_states,
    owners,
    packages,
    publishes,
    sessions,
    signatures,
    tokens,
    tombstones,
    trusted_publishers,
    users,
    versions,
    webhooks,
)
from api.write.queries.publishes import Wanted
from api.write.queries.users import Profile
from indexer.queries import access, catalog, log_filling, page_lists, pages, private, purges, scrub, tree
from indexer.queries import packages as states
from indexer.queries import webhooks as outbox
from indexer.queries.expiry import remove_expired
from shared.blobs import staging_key
from shared.database import Database
from shared.names import Handle, PackageName
from shared.settings import Settings
from shared.versions import VersionText
from tests.archives import hello_archive
from tests.conftest import MakeSettings
from tests.large_registry import PACKAGES, VERSIONS_OF_ONE, fill, tidy
from tests.plans import all_query_functions, watching_reads
from tests.stack import ALL_SCOPES, Registry, bearer, running_registry

# A statement may read each row of the package with the most versions once, and a page of others.
MAX_ROWS: Final = VERSIONS_OF_ONE + 500

WHOLE: Final = {
    "indexer/queries/access.py:readers": "every token may read a private registry; there is no other list",
    "indexer/queries/expiry.py:remove_expired": "once an hour: publishers that wait for a first version",
    "indexer/queries/pages.py:begin_edition": "once for each worker: what was published without pages",
    "indexer/queries/tree.py:count_packages": "at the start of a round of healing",
    "indexer/queries/tree.py:name_at": "where healing begins: a walk of an index to a random place",
    "api/write/queries/search.py:find_pages": "the total of a frequent text, counted once until names change",
    "api/write/queries/users.py:has_history": "no index has publishers; only for users of the older server",
}
"""Functions that read more than MAX_ROWS, or scan a large table, on purpose, and why."""

ELSEWHERE: Final = {
    "indexer/queries/log.py": "tests/log/test_log_plans.py",
    "indexer/queries/log_filling.py:begin_log": "the beginning of a log, once",
    "indexer/queries/log_filling.py:end_backfill": "the beginning of a log, once",
    "indexer/queries/log_filling.py:mark_all_compared": "the beginning of a log, once; it writes every row",
    "indexer/queries/log_filling.py:past_versions": "the beginning of a log, once; it reads every row",
    "indexer/queries/log_filling.py:past_removals": "the beginning of a log, once; it reads every row",
    "indexer/queries/log_recovery.py": "a log that is ahead of its database, once",
    "indexer/queries/rebuild.py": "a command that writes rows from storage",
    "api/write/queries/signatures.py:count_versions": "a command that signs every old version",
}
"""Modules and functions that requests and workers do not use again and again, and where others are asked."""


def is_elsewhere(function: str) -> bool:
    """True if the function or its module is in ELSEWHERE."""
    return function in ELSEWHERE or function.partition(":")[0] in ELSEWHERE


async def use(registry: Registry) -> None:
    """Use a large registry like its clients."""
    (bob,) = await registry.rows("SELECT id FROM users WHERE handle = 'bob'")
    headers = bearer(await registry.add_token(bob.id, *ALL_SCOPES))
    many, other = await registry.rows(
        "SELECT name FROM packages WHERE name LIKE 'pkg-1-%' OR name LIKE 'pkg-10-%' ORDER BY name"
    )
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
    """Call the query functions that those requests and workers do not call."""
    (bob,) = await registry.rows("SELECT id FROM users WHERE handle = 'bob'")
    (many,) = await registry.rows("SELECT id, name FROM packages WHERE name LIKE 'pkg-1-%'")
    async with registry.database.transaction() as tx:
        await _look_up_accounts(tx, bob.id)
        await _look_up_package(tx, bob.id, many.id, many.name)
        await _look_up_publishers(tx, bob.id, many.id, many.name)
        await _look_up_webhooks(tx, bob.id)
        await _look_up_tree(tx, many.id, many.name)
        await _look_up_pages(tx, many.id, many.name)
        await _look_up_private(tx, many.id, many.name)
    await _look_up_states(registry.database)


async def _look_up_accounts(tx: AsyncConnection, bob: UUID) -> None:
    ada = Profile(7, "ada", None, None, None, github_email_verified=False, github_email_primary=False)
    assert await users.add(tx, Handle("ada"), ada)
    user = await users.by_github_id(tx, 7)
    assert user is not None
    await users.rename(tx, user.id, Handle("ada-l"))
    await users.set_profile(tx, user.id, ada)
    await users.unattached(tx, Handle("bob"))
    await users.is_admin(tx, bob)
    await users.has_history(tx, bob)
    await users.owned_packages(tx, user.id)
    await sessions.add(tx, user.id, token_hash="0" * 64, csrf_token="c", ttl=timedelta(1))
    (session,) = await sessions.by_hashes(tx, ["0" * 64])
    await sessions.set_last_seen(tx, [session.id])
    await sessions.remove(tx, [session.id])
    await oauth_states.add(tx, "state", "/", code_verifier="v", browser_hash="b", ttl=timedelta(1))
    await oauth_states.take(tx, "state")
    (token, *_) = await tokens.of_user(tx, bob)
    await tokens.owner_of(tx, token.id)
    await tokens.revoke(tx, token.id)
    await remove_expired(tx)


async def _look_up_package(tx: AsyncConnection, bob: UUID, many: UUID, name: PackageName) -> None:
    await owners.handles_of(tx, name)
    await packages.owner_handles(tx, many)
    await packages.is_owned(tx, name, bob)
    await packages.is_published(tx, many)
    await packages.published_generations(tx, [many])
    await publishes.is_removed(tx, Wanted(name, "1.9.0", bob, "1" * 32))
    await archetypes.packages_of(tx, "cli")
    await versions.summaries(tx, many)
    await versions.scale_of(tx, many, "1.9.0")
    await versions.set_scale_evidence(tx, many, "1.9.0", "https://x07.io/e/1.json")
    row = await advisories.add(
        tx, many, "1.9.0", kind="broken", severity="low", summary="s", url=None, details="", created_by=bob
    )
    await advisories.find(tx, many, "1.9.0", row.id)
    await advisories.withdraw(tx, row.id, bob)
    await tombstones.bury(tx, many, "1.9.0", "a court asked")
    await tombstones.has(tx, many, "1.9.0")
    await tombstones.of_package(tx, many)
    (unsigned, *_) = await signatures.page_of_unsigned(tx, ("", ""), 100)
    await signatures.sign(tx, unsigned, "key", bytes(64))


async def _look_up_publishers(tx: AsyncConnection, bob: UUID, many: UUID, name: PackageName) -> None:
    issuer, other = "https://issuer.example", f"org/{name}"
    publisher = await trusted_publishers.add(
        tx, name, bob, kind="github", issuer=issuer, repository="o/r", workflow="ci.yml", environment=None
    )
    await trusted_publishers.of_package(tx, name)
    await trusted_publishers.of_repository(tx, issuer, other)
    await trusted_publishers.give_to(tx, publisher, bob)
    await trusted_publishers.remember_owner(tx, publisher, "1")
    await trusted_publishers.remove(tx, publisher)
    await trusted_publishers.pending_of(tx, bob)
    await trusted_publishers.use_identity(tx, issuer, "new", datetime.now(UTC))
    await trusted_publishers.demand(tx, many, trusted_publishing_only=False)
    await trusted_publishers.is_demanded(tx, [name])


async def _look_up_webhooks(tx: AsyncConnection, bob: UUID) -> None:
    hook = (await tx.execute(text("SELECT hook_id FROM webhook_deliveries LIMIT 1"))).scalar_one()
    new = await webhooks.add(
        tx,
        bob,
        url="https://a.example/",
        events=["publish"],
        package=None,
        of_all=False,
        secret="s",
    )
    await webhooks.rotate(tx, new, "t", 60)
    await webhooks.remove(tx, new)
    await webhooks.of_user(tx, bob)
    await webhooks.find(tx, hook)
    await webhooks.count(tx, bob)
    await webhooks.deliveries(tx, hook, 100)
    await webhooks.add_test(tx, hook)
    await webhooks.start_again(tx, hook)
    assert await outbox.hooks_due(tx) == [hook]
    (due, *_) = await outbox.take(tx, hook, 10, 60.0)
    await outbox.failed(tx, due, status=500, error="away", pause_s=1.0, longest_s=60.0)
    await outbox.arrived(tx, due, 200)
    await outbox.remove_old(tx, 30)
    await purges.want(tx, ["package/new"])
    taken = await purges.take(tx, 30, 60.0)
    await purges.failed(tx, taken, 60.0)
    await purges.done(tx, taken, 60.0)


async def _look_up_tree(tx: AsyncConnection, many: UUID, name: PackageName) -> None:
    releases = {(name, f"1.{minor}.0") for minor in range(1, 251)}
    await tree.known_versions(tx, releases)
    await tree.removed_among(tx, releases)
    await tree.known_names(tx, {name})
    await tree.packages_among(tx, {name})
    await tree.is_awaited(tx, staging_key("0" * 64, "1" * 32))
    await tree.oldest_catalog_change_s(tx)
    await tree.count_packages(tx)
    await tree.name_at(tx, PACKAGES // 2)
    assert [line async for line in catalog.catalog_lines(tx)]
    await tree.lock_name(tx, name)
    await tree.retire_upload(tx, "1" * 32)
    await tree.try_staging_lock(tx, "0" * 64)
    await tree.names_behind(tx, "", 100)
    await states.backlog(tx)
    await states.dirty_packages(tx, UUID(int=0))
    await states.states_of(tx, [name], "x07")
    await states.raise_generations(tx, [name])
    await log_filling.packages_behind(tx, 50)
    await log_filling.mark_compared(tx, [many])
    (archive, *_) = await scrub.take_next(tx, 10, timedelta(days=1))
    await scrub.record(tx, archive, "missing")
    await scrub.take_findings(tx, 10, timedelta(0))
    await scrub.forget(tx, archive)
    await scrub.is_published(tx, archive)
    await scrub.count_findings(tx)


async def _look_up_pages(tx: AsyncConnection, many: UUID, name: PackageName) -> None:
    await pages.take_changes(tx, 50)
    await pages.put_releases(tx, [many], [(many, VersionText("2.0.0"), datetime.now(UTC))])
    await pages.count_dependents(tx, await pages.required_by(tx, ["new-one"]))
    await pages.dependents_of(tx, [name])
    await pages.home(tx, lambda _: True)
    await page_lists.place(tx, {many: VERSIONS_OF_ONE + 3})
    await page_lists.changed_pages(tx, [name])
    await page_lists.last_page(tx)


async def _look_up_private(tx: AsyncConnection, many: UUID, name: PackageName) -> None:
    await private.hide(tx, [(many, b"{}")])
    # As autovacuum does; Postgres takes a table that has never had rows for one of a hundred.
    await tx.execute(text("ANALYZE private_packages"))
    await private.last_private_change(tx)
    await private.private_lines(tx)
    await private.published_openly(tx, f"{name}*")
    await access.private_readers(tx, ["bob"])
    await access.readers(tx)
    await private.show(tx, [name])


async def _look_up_states(database: Database) -> None:
    """Call functions that make transactions of their own."""
    assert not await pages.are_pages_dirty(database)
    await pages.begin_build(database, uuid4())
    await pages.begin_edition(database, "1")
    await catalog.raise_generation_to(database, 1)


async def replace_states(settings: Settings) -> None:
    """Call what replaces the state of every version of a package, when nothing reads the index afterwards."""
    database = Database(settings)
    async with database.transaction() as tx:
        rows = (
            await tx.execute(text("SELECT id, name FROM packages WHERE name ~ '^pkg-10?-' ORDER BY name"))
        ).all()
        many, other = rows
        await versions.forget_documents(tx, many.id)
        await states.put_again(tx, [other.name])
    await database.close()


async def publish_once(settings: Settings) -> None:
    """Have a worker note what it put of each version, as it has of every package that it published itself."""
    async with running_registry(settings) as registry:
        (bob,) = await registry.rows("SELECT id FROM users WHERE handle = 'bob'")
        (many,) = await registry.rows("SELECT name FROM packages WHERE name LIKE 'pkg-1-%'")
        headers = bearer(await registry.add_token(bob.id, "publish", "admin"))
        answer = await registry.publish(hello_archive(many.name, "1.9000.0"), headers)
        assert answer.headers["x-x07-index-published"] == "true"


async def test_no_statement_of_a_tier_reads_the_whole_registry(make_default_settings: MakeSettings) -> None:
    """Requests, workers that publish, sweep and heal, and every other query function are explained.

    An index has replaced rows until a vacuum; they would count, so there are none when the run begins.
    """
    settings = await make_default_settings(catalog_debounce_seconds=0.02, sweep_seconds=0.5)
    await fill(settings)
    await publish_once(settings)
    big = await tidy(settings, MAX_ROWS)
    with watching_reads() as reads:
        async with running_registry(settings) as registry:
            await use(registry)
            await look_up(registry)
            await registry.until_in_catalog("new-one", "0.1.0")
        await replace_states(settings)
    assert reads.missed(function for function in all_query_functions() if not is_elsewhere(function)) == []
    found = reads.over(MAX_ROWS) | reads.scanning(big)
    assert {function: told for function, told in found.items() if function not in WHOLE} == {}
    assert found.keys() >= WHOLE.keys()
