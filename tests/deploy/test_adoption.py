"""Follows docs/adoption.md with a deployment of the older server, on both back ends."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import httpx
import pytest
import pytest_asyncio

from deploy.local.postgres import EmbeddedPostgres
from deploy.migrations.runner import migrate
from shared.database import driver_dsn
from shared.names import shard_path
from shared.settings import Settings
from shared.storage.opening import open_storage
from tests.archives import hello_archive
from tests.conftest import SIGNING, MakeSettings
from tests.deploy.commands import variables_of
from tests.deploy.forked_commands import Answer
from tests.deploy.older_server import REVOKED, SESSION, TOKEN, OlderServer, archive_of
from tests.deploy.older_server_http import app_of
from tests.deploy.page_walk import Guide, shell
from tests.fault_proxy import FaultProxy
from tests.faults.cluster import Process
from tests.stack import Registry, bearer, eventually, serving

HISTORY = "SELECT * FROM _sqlx_migrations ORDER BY version"
# All except those of the extension, which stays.
OBJECTS = """
SELECT concat_ws(' ', table_name, column_name, data_type, is_nullable, column_default) AS object
FROM information_schema.columns WHERE table_schema = 'public'
UNION ALL SELECT indexdef FROM pg_indexes WHERE schemaname = 'public'
UNION ALL SELECT concat_ws(' ', conrelid::regclass, pg_get_constraintdef(oid)) FROM pg_constraint
WHERE connamespace = 'public'::regnamespace
UNION ALL SELECT pg_get_triggerdef(oid) FROM pg_trigger WHERE NOT tgisinternal
UNION ALL SELECT oid::regprocedure::text FROM pg_proc p WHERE pronamespace = 'public'::regnamespace
    AND NOT EXISTS (SELECT 1 FROM pg_depend d WHERE d.objid = p.oid AND d.deptype = 'e')
"""
WAITS = """
SELECT package_id FROM index_state WHERE generation > published_generation
UNION ALL SELECT package_id FROM catalog_changes
"""
# Many times the duration of a publish, and well below its wait for a package that is locked.
HELD_S = 2.0
GIVE_ODD_TO_WEBODIK = """
INSERT INTO package_owners (package_id, user_id) SELECT p.id, u.id FROM packages p, users u
WHERE p.name = 'odd' AND u.handle = 'webodik'
"""


@pytest_asyncio.fixture
async def settings(postgres: EmbeddedPostgres, make_settings: MakeSettings) -> Settings:
    """Settings with an empty database and an empty store."""
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
    """A deployment of the older server over these settings."""
    connection = await asyncpg.connect(settings.database_url.get_secret_value())
    server = OlderServer(connection, settings)
    await server.install()
    yield server
    await connection.close()


@dataclass
class Walk:
    """The adoption of one deployment.

    older, customer: two connections of the older server. leads_to: the server that the registry's name leads
    to.
    """

    guide: Guide
    settings: Settings
    older: OlderServer
    customer: OlderServer
    older_url: str
    leads_to: str

    async def objects(self) -> set[str]:
        """Every object of the database."""
        return {row["object"] for row in await self.older.sql.fetch(OBJECTS)}

    async def keys(self, prefix: str) -> set[str]:
        """Keys in storage."""
        storage = await open_storage(self.settings)
        try:
            return {info.key async for info in storage.scan(prefix)}
        finally:
            await storage.close()

    async def until_published(self) -> None:
        """Wait until workers have nothing left to do."""
        await eventually(self._is_published)

    async def _is_published(self) -> bool:
        return not await self.older.sql.fetch(WAITS)


@pytest_asyncio.fixture
async def walk(settings: Settings, older: OlderServer, tmp_path: Path) -> AsyncIterator[Walk]:
    """The state before the guide's first line; the registry's name leads to the older server."""
    connection = await asyncpg.connect(settings.database_url.get_secret_value())
    async with FaultProxy(lambda: asyncio.open_connection(*_address(walk.leads_to))).running() as name:
        settings = settings.model_copy(update={"public_base": f"http://127.0.0.1:{name.port}"})
        async with serving(app_of(older, settings.public_base)) as url:
            guide = Guide("adoption.md", variables_of(settings), tmp_path)
            walk = Walk(guide, settings, older, OlderServer(connection, settings), url, url)
            yield walk
            await guide.close()
    await connection.close()


def _address(url: str) -> tuple[str, int]:
    host, _, port = url.removeprefix("http://").partition(":")
    return host, int(port)


async def test_every_command_of_the_guide_does_what_it_says(walk: Walk) -> None:
    """Its commands run in order, from the first check to the way back, while the older server works."""
    history, objects = await walk.older.sql.fetch(HISTORY), await walk.objects()
    await _check(walk)
    await _migrate_and_write(walk)
    assert objects <= await walk.objects()
    new = await _run_both(walk)
    await _switch(walk, new)
    package_list, reindex, migrate = walk.guide.commands("The way back")
    await _go_back(walk, new, package_list)
    assert await walk.older.sql.fetch(HISTORY) == history
    await _catch_up(walk, reindex)
    await walk.older.sql.execute(walk.guide.statements("The way back"))
    assert await walk.objects() == objects
    await walk.older.publish("as-ever", "1.0.0", {})
    assert (await walk.guide.run(migrate)).returncode == 0
    assert walk.guide.left == []


async def _check(walk: Walk) -> None:
    """The only problems are those that the migration repairs."""
    [doctor] = walk.guide.commands("Before")
    status, report = await walk.guide.report(doctor)
    failed = {check["check"] for check in report["checks"] if check["status"] == "failed"}
    assert (status, failed) == (1, {"database schema", "database extensions"}), report


async def _migrate_and_write(walk: Walk) -> None:
    """The older server works during the migration; problems of its old rows are reported."""
    [migrate] = walk.guide.commands("1. Migrate, while the older server runs")
    [reindex, verify] = walk.guide.commands("2. Write the published tree")
    for major, line in enumerate((migrate, reindex)):
        command = asyncio.create_task(walk.guide.run(line))
        await _publish_until_done(walk, command, major)
        answer = await command
        assert answer.returncode == 0, answer
    await _verify(walk, verify)


async def _publish_until_done(walk: Walk, command: asyncio.Task[Answer], major: int) -> None:
    async with httpx.AsyncClient(base_url=walk.older_url) as http:
        for minor in itertools.count():
            await walk.customer.publish("busy", f"{major}.{minor}.0", {"description": "of a busy day"})
            assert f'"{major}.{minor}.0"' in (await http.get(f"/index/{shard_path('busy')}")).text
            if command.done():
                return


async def _verify(walk: Walk, line: str) -> None:
    """The orphan is the only difference."""
    status, report = await walk.guide.report(line)
    found = [(item["kind"], item["key"]) for item in report["findings"]]
    assert (status, found) == (1, [("extra", "dl/odd/9.9.9/download")])


@dataclass
class Servers:
    """The new servers."""

    worker: Process
    write: Process
    read: Process


async def _run_both(walk: Walk) -> Servers:
    """Each server lists the other's publishes, yanks and changes of owners, without being notified."""
    older = walk.older
    *servers, old_curl, new_curl = walk.guide.commands("3. Run both")
    new = Servers(*await asyncio.gather(*map(walk.guide.start, servers)))
    await walk.until_published()
    await assert_same_answers(new.read.http, older)
    await _assert_people_and_archives_are_there(new, older)
    await older.publish("from-the-older", "1.0.0", {"description": "new"}, signed=False)
    await older.publish("ext-base64-rs", "9.0.0", {"description": "newer"})
    await older.yank("odd", "not-semver")
    await older.sql.execute(GIVE_ODD_TO_WEBODIK)
    await _publish(new.write, "0.1.0")
    await walk.until_published()
    await assert_same_answers(new.read.http, older)
    archive = await new.read.http.get("/v1/packages/from-the-older/1.0.0/download")
    assert archive.content == archive_of("from-the-older", "1.0.0")
    places = {"old": walk.older_url, "new": str(new.read.http.base_url)}
    assert await shell(old_curl, **places) == await shell(new_curl, **places)
    return new


async def assert_same_answers(read: httpx.AsyncClient, older: OlderServer) -> None:
    """Index files and catalog equal, byte for byte, what the older server renders from the rows."""
    for name in await older.names():
        answer = await read.get(f"/index/{shard_path(name)}?x07_refresh=1")
        assert answer.content == await older.index_file(name), name
    catalog = (await read.get("/index/catalog.json?x07_refresh=1")).content
    assert json.loads(catalog) == json.loads(await older.catalog())
    assert catalog == await older.catalog()


async def _assert_people_and_archives_are_there(new: Servers, older: OlderServer) -> None:
    read, write = new.read.http.get, new.write.http.get
    archive = archive_of("ext-base64-rs", "0.1.0")
    answer = await read("/v1/packages/ext-base64-rs/0.1.0/download")
    cksum = await older.sql.fetchval(
        "SELECT cksum FROM package_versions v JOIN packages p ON p.id = v.package_id "
        "WHERE p.name = 'ext-base64-rs' AND version = '0.1.0'"
    )
    assert (answer.content, answer.headers["etag"]) == (archive, f'"{cksum}"')
    part = await read("/v1/packages/odd/not-semver/download")
    assert part.status_code == 400  # as on the older server, which checks the version first
    orphan = await read("/v1/packages/odd/9.9.9/download")
    assert orphan.content == b"an orphan of a publish that failed"
    assert (await read("/v1/packages/ext-base64-rs/0.1.1/metadata")).status_code == 200
    assert (await write("/v1/account", headers=bearer(TOKEN))).json()["handle"] == "alice"
    assert (await write("/v1/account", headers=bearer(REVOKED))).status_code == 401
    session = (await write("/v1/auth/session", headers={"cookie": f"x07_session={SESSION}"})).json()
    assert (session["authenticated"], session["csrf_token"]) == (True, "csrf")
    owners = (await write("/v1/packages/ext-base64-rs/owners")).json()
    assert (owners["owners"], owners["is_official"]) == (["alice", "webodik"], True)
    assert (await write("/v1/packages/listed")).json()["latest_version"] == "1.0.0"


async def _switch(walk: Walk, new: Servers) -> None:
    """Everything works under the registry's name, and unsigned versions are signed on request."""
    doctor, verify, count, sign = walk.guide.commands("4. Switch")
    walk.leads_to = str(new.read.http.base_url)  # an edge would send the other requests to the write server
    status, report = await walk.guide.report(doctor)
    assert (status, report["ok"]) == (0, True), report
    await _verify(walk, verify)
    unsigned = await walk.older.sql.fetchval(
        "SELECT count(*) FROM package_versions WHERE signature_kind IS NULL"
    )
    for line in (count, sign):
        answer = await walk.guide.run(line)
        assert (answer.returncode, json.loads(answer.stdout)["result"]["backfilled"]) == (0, unsigned)
    await walk.until_published()
    await assert_same_answers(new.read.http, walk.older)


async def _go_back(walk: Walk, new: Servers, package_list: str) -> None:
    """The older server finds every published version, with its archive where it expects it."""
    await _publish(new.write, "0.2.0")
    await _stop(new.write)
    unfinished = package_list.split('"')[1]

    async def is_finished() -> bool:
        listed = (await walk.guide.run(package_list)).stdout
        assert "hello" in listed
        return unfinished not in listed

    await eventually(is_finished)
    await _stop(new.worker)
    await _stop(new.read)
    walk.leads_to = walk.older_url
    assert {f"dl/hello/{version}/download" for version in ("0.1.0", "0.2.0")} <= await walk.keys("dl/hello/")
    async with httpx.AsyncClient(base_url=walk.settings.public_base) as http:
        assert '"version":"0.2.0"' in (await http.get(f"/index/{shard_path('hello')}")).text


async def _publish(write: Process, version: str) -> None:
    archive = hello_archive(version=version)
    answer = await write.http.post("/v1/packages/publish", content=archive, headers=bearer(TOKEN))
    assert answer.status_code == 200, answer.text


async def _stop(process: Process) -> None:
    assert await process.child.stop() in ("SIGTERM", "exit status 0"), process.log.read_text()


async def _catch_up(walk: Walk, reindex: str) -> None:
    """One command adds versions that only the older server published to the tree again."""
    await walk.older.publish("after-the-way-back", "1.0.0", {})
    assert (await walk.guide.run(reindex)).returncode == 0
    assert f"index/{shard_path('after-the-way-back')}" in await walk.keys("index/af/")


@pytest.mark.parametrize("storage_settings", ["fs"], indirect=True)
async def test_a_migration_waits_for_the_older_servers_transactions_and_misses_none(
    settings: Settings, older: OlderServer
) -> None:
    """A package that is being created during the migration is published like all others."""
    transaction = older.sql.transaction()
    await transaction.start()
    await older.insert("in-flight", "1.0.0", {})
    migration = asyncio.create_task(asyncio.to_thread(asyncio.run, migrate(settings)))
    other = await asyncpg.connect(settings.database_url.get_secret_value())
    # The migration holds its lock now, and still it and the older server do not block each other.
    await eventually(lambda: other.fetch("SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND granted"))
    await older.insert("ext-base64-rs", "8.0.0", {})
    await transaction.commit()
    await migration
    dirty = "SELECT generation > published_generation FROM index_state JOIN packages p ON p.id = package_id"
    assert await other.fetchval(f"{dirty} WHERE p.name = 'in-flight'")
    await other.close()


async def test_both_servers_write_to_a_package_one_after_the_other(fs_registry: Registry) -> None:
    """Both take the same lock; otherwise each could miss what the other is about to commit."""
    publisher = await fs_registry.add_publisher()
    connection = await asyncpg.connect(fs_registry.settings.database_url.get_secret_value())
    older = OlderServer(connection, fs_registry.settings)
    async with connection.transaction():
        await older.lock("hello")
        publish = asyncio.create_task(fs_registry.publish(hello_archive(), publisher))
        done, _ = await asyncio.wait({publish}, timeout=HELD_S)
        assert not done
    assert (await publish).status_code == 200
    await connection.close()
