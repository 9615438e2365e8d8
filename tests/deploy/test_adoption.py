"""The walk of docs/adoption.md over a deployment of the older server, on both back ends."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest
import pytest_asyncio

from deploy.local.postgres import EmbeddedPostgres
from deploy.migrations.runner import migrate
from shared.database import driver_dsn
from shared.names import shard_path
from shared.settings import Settings
from tests.archives import hello_archive
from tests.conftest import SIGNING, MakeSettings
from tests.deploy.commands import document, variables_of
from tests.deploy.forked_commands import run
from tests.deploy.older_server import REVOKED, SESSION, TOKEN, OlderServer, archive_of
from tests.docs_tables import DOCS
from tests.stack import Registry, bearer, eventually, running_registry
from tests.test_docs_commands import commands_of

HISTORY = "SELECT * FROM _sqlx_migrations ORDER BY version"
COLUMNS = """
SELECT table_name, column_name, data_type, is_nullable, column_default FROM information_schema.columns
WHERE table_schema = 'public' ORDER BY 1, 2
"""


@pytest_asyncio.fixture
async def settings(postgres: EmbeddedPostgres, make_settings: MakeSettings) -> Settings:
    """Settings that name an empty database and an empty store."""
    migrated = await make_settings(publish_wait_seconds=0.5, **SIGNING)
    database = driver_dsn(migrated.database_url.get_secret_value()).partition("?")[0].rpartition("/")[2]
    admin = await asyncpg.connect(postgres.url)
    await admin.execute(f"CREATE DATABASE {database}_old")
    await admin.close()
    return migrated.model_copy(
        update={"database_url": type(migrated.database_url)(postgres.url_of(f"{database}_old"))}
    )


@pytest_asyncio.fixture
async def older(settings: Settings) -> AsyncIterator[OlderServer]:
    """The older server's deployment over these settings."""
    connection = await asyncpg.connect(settings.database_url.get_secret_value())
    server = OlderServer(connection, settings)
    await server.install()
    yield server
    await connection.close()


async def assert_same_answers(registry: Registry, older: OlderServer) -> None:
    """Index files and catalog are, byte for byte, what the older server answers from the rows."""
    for name in await older.names():
        answer = await registry.http.get(f"/index/{shard_path(name)}?x07_refresh=1")
        assert answer.content == await older.index_file(name), name
    catalog = (await registry.http.get("/index/catalog.json?x07_refresh=1")).content
    assert json.loads(catalog) == json.loads(await older.catalog())
    assert catalog == await older.catalog()


async def test_the_guide_takes_over_a_registry_with_the_same_answers(
    settings: Settings, older: OlderServer
) -> None:
    """Its commands in their order, with everything that clients rely on compared afterwards."""
    history, columns = await older.sql.fetch(HISTORY), await older.sql.fetch(COLUMNS)
    variables = variables_of(settings)
    steps = [
        words
        for words in commands_of((DOCS / "adoption.md").read_text())
        if words[0] not in ("serve", "worker")
    ]
    assert [words[0] for words in steps] == ["doctor", "migrate", "reindex", "verify", "verify"]
    for words in steps[1:3]:
        answer = run(*words, **variables)
        assert answer.returncode == 0, answer.stdout + answer.stderr
    status, report = document("verify", **variables)
    assert (status, [(item["kind"], item["key"]) for item in report["findings"]]) == (
        1,
        [("extra", "dl/odd/9.9.9/download")],
    )
    assert await older.sql.fetch(HISTORY) == history
    kept = {row["table_name"] for row in columns}
    assert [row for row in await older.sql.fetch(COLUMNS) if row["table_name"] in kept] == columns
    async with running_registry(settings) as registry:
        await assert_same_answers(registry, older)
        await _assert_people_and_archives_are_there(registry)


async def _assert_people_and_archives_are_there(registry: Registry) -> None:
    get = registry.http.get
    archive = archive_of("ext-base64-rs", "0.1.0")
    answer = await get("/v1/packages/ext-base64-rs/0.1.0/download")
    rows = await registry.rows(
        "SELECT cksum FROM package_versions v JOIN packages p ON p.id = v.package_id "
        "WHERE p.name = 'ext-base64-rs' AND version = '0.1.0'"
    )
    assert (answer.content, answer.headers["etag"]) == (archive, f'"{rows[0].cksum}"')
    part = await get("/v1/packages/odd/not-semver/download")
    assert part.status_code == 400  # as there: the version rule comes first
    orphan = await get("/v1/packages/odd/9.9.9/download")
    assert orphan.content == b"an orphan of a publish that failed"
    assert (await get("/v1/account", headers=bearer(TOKEN))).json()["handle"] == "alice"
    assert (await get("/v1/account", headers=bearer(REVOKED))).status_code == 401
    session = (await get("/v1/auth/session", headers={"cookie": f"x07_session={SESSION}"})).json()
    assert (session["authenticated"], session["csrf_token"]) == (True, "csrf")
    owners = (await get("/v1/packages/ext-base64-rs/owners")).json()
    assert (owners["owners"], owners["is_official"]) == (["alice", "webodik"], True)
    assert (await get("/v1/packages/ext-base64-rs/0.1.1/metadata")).status_code == 200
    assert (await get("/v1/packages/listed")).json()["latest_version"] == "1.0.0"


async def test_both_servers_run_side_by_side_and_the_older_one_can_come_back(
    settings: Settings, older: OlderServer
) -> None:
    """Each lists what the other published, yanked or gave away, without being told."""
    await migrate(settings)
    async with running_registry(settings) as registry:
        await eventually(lambda: _is_published(registry))
        await older.publish("from-the-older", "1.0.0", {"description": "new"}, signed=False)
        await older.publish("ext-base64-rs", "9.0.0", {"description": "newer"})
        await older.yank("odd", "not-semver")
        await older.sql.execute(
            "INSERT INTO package_owners (package_id, user_id) SELECT p.id, u.id FROM packages p, users u "
            "WHERE p.name = 'odd' AND u.handle = 'webodik'"
        )
        answer = await registry.publish(hello_archive(), bearer(TOKEN))
        assert answer.status_code == 200, answer.text
        await eventually(lambda: _is_published(registry))
        await assert_same_answers(registry, older)
        answer = await registry.http.get("/v1/packages/from-the-older/1.0.0/download")
        assert answer.content == archive_of("from-the-older", "1.0.0")
        assert await registry.keys("staging/") == []
        assert "dl/hello/0.1.0/download" in await registry.keys("dl/hello/")
    await older.publish("after-the-way-back", "1.0.0", {})


async def _is_published(registry: Registry) -> bool:
    dirty = await registry.rows("SELECT 1 FROM index_state WHERE generation > published_generation")
    return not dirty and not await registry.rows("SELECT 1 FROM catalog_changes")


@pytest.mark.parametrize("storage_settings", ["fs"], indirect=True)
async def test_a_migration_waits_for_the_older_servers_transactions_and_misses_none(
    settings: Settings, older: OlderServer
) -> None:
    """A package that is being created while the tables are adopted is published like all others."""
    transaction = older.sql.transaction()
    await transaction.start()
    await older.insert("in-flight", "1.0.0", {})
    migration = asyncio.create_task(asyncio.to_thread(asyncio.run, migrate(settings)))
    other = await asyncpg.connect(settings.database_url.get_secret_value())
    # The migration holds its lock by now, and still the older server is not in its way, nor it in ours.
    await eventually(lambda: other.fetch("SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND granted"))
    await older.insert("ext-base64-rs", "8.0.0", {})
    await transaction.commit()
    await migration
    dirty = "SELECT generation > published_generation FROM index_state JOIN packages p ON p.id = package_id"
    assert await other.fetchval(f"{dirty} WHERE p.name = 'in-flight'")
    await other.close()


def test_the_way_back_names_every_trigger() -> None:
    """What the guide removes is what the migrations added to the older server's tables."""
    page = (DOCS / "adoption.md").read_text()
    source = (Path(DOCS).parent / "deploy/migrations/versions/0005_integrity.py").read_text()
    tables = re.search(r"for table in \(([^)]*)\)", source)
    assert tables is not None
    for table in re.findall(r'"(\w+)"', tables[1]):
        assert f"DROP TRIGGER {table}_raise_generation ON {table};" in page
    assert "DROP TRIGGER users_raise_generations ON users;" in page
