"""`x07-registry doctor`: no finding for a healthy registry, and one for each part that is broken."""

from __future__ import annotations

import asyncio
import json
import socket
import sys
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg
import pytest
import pytest_asyncio
from redis.asyncio import Redis

from deploy.doctor import clock, database, storage
from deploy.doctor.examination import examine, render_report
from deploy.doctor.finding import Finding
from deploy.doctor.queries import Server
from deploy.local.postgres import EmbeddedPostgres
from shared.settings import Settings
from shared.storage.filesystem import FileSystemStorage
from tests.archives import hello_archive
from tests.conftest import SIGNING, MakeSettings
from tests.deploy.forked_commands import Answer, run
from tests.github_server import CLIENT_ID, CLIENT_SECRET, GithubServer
from tests.log.logs import LOGGING, until_logged
from tests.stack import Registry, running_registry, serving

DEAD = "127.0.0.1:1"


@pytest_asyncio.fixture
async def github() -> AsyncIterator[GithubServer]:
    """A GitHub server that knows one application."""
    server = GithubServer()
    async with serving(server.app) as server.url:
        yield server


@pytest_asyncio.fixture
async def healthy(make_settings: MakeSettings, github: GithubServer) -> AsyncIterator[Registry]:
    """A registry whose parts are all configured and work, with one signed version."""
    listener = socket.create_server(("127.0.0.1", 0))
    settings = await make_settings(
        public_base=f"http://127.0.0.1:{listener.getsockname()[1]}",
        github_client_id=CLIENT_ID,
        github_client_secret=CLIENT_SECRET,
        github_authorize_base=github.url,
        github_api_base=github.url,
        session_cookie_secure=False,
        lint_command=f"{sys.executable} -c pass {{file}} {{world}}",
        **SIGNING,
        **LOGGING,
    )
    async with running_registry(settings, listener=listener) as registry:
        answer = await registry.publish(hello_archive(), await registry.add_publisher())
        assert answer.status_code == 200
        await registry.until_in_catalog("hello", "0.1.0")
        await until_logged(registry, 1)
        yield registry


@pytest.fixture
def storage_settings(tmp_path: Path) -> dict[str, Any]:
    """A directory; the checks of storage have tests of their own."""
    return {"storage": "fs", "data_dir": tmp_path / "tree"}


def run_doctor(*arguments: str, **variables: str) -> Answer:
    """Run the command to its end."""
    return run("doctor", *arguments, **variables)


async def failures(settings: Settings) -> dict[str, Finding]:
    """The failed checks, each with advice."""
    found = [finding for finding in await examine(settings) if finding.status == "failed"]
    assert all(finding.mend for finding in found)
    return {finding.check: finding for finding in found}


async def test_a_registry_that_is_well_has_nothing_to_mend(healthy: Registry) -> None:
    """Every check runs, none fails, and no probe is left."""
    before = await healthy.keys()
    findings = await examine(healthy.settings)
    assert {finding.check: finding.status for finding in findings} == dict.fromkeys(
        [
            "settings",
            "database",
            "database connection",
            "database extensions",
            "database rights",
            "database schema",
            "redis",
            "storage",
            "clock of storage",
            "database against storage",
            "clock of the database",
            "signing key",
            "transparency log",
            "lint command",
            "public base",
            "github",
        ],
        "ok",
    )
    assert list(render_report(findings))[-1] == "all is well"
    assert await healthy.keys() == before


async def test_the_command_says_so_and_exits_with_0(healthy: Registry) -> None:
    """Scripts of deployments use this; `--json` is for programs that read the details."""
    settings = healthy.settings
    variables = {
        "X07_REGISTRY_DATABASE_URL": settings.database_url.get_secret_value(),
        "X07_REGISTRY_REDIS_URL": settings.redis_url.get_secret_value(),
        "X07_REGISTRY_DATA_DIR": str(settings.data_dir),
        "X07_REGISTRY_PUBLIC_BASE": settings.public_base,
        "X07_REGISTRY_PKG_SIGNING_KEY_ID": SIGNING["pkg_signing_key_id"],
        "X07_REGISTRY_PKG_SIGNING_ED25519_SECRET_B64": SIGNING["pkg_signing_ed25519_secret_b64"],
        "X07_REGISTRY_LOG_ORIGIN": LOGGING["log_origin"],
        "X07_REGISTRY_LOG_KEY_B64": LOGGING["log_key_b64"],
    }
    answer = await asyncio.to_thread(run_doctor, "--json", **variables)
    report = json.loads(answer.stdout)
    assert (answer.returncode, report["ok"]) == (0, True), report
    assert [check["status"] for check in report["checks"] if check["check"] == "github"] == ["off"]


def test_wrong_settings_are_a_finding_with_exit_1(tmp_path: Path) -> None:
    """Without settings no other check can run; the finding still says what to correct."""
    answer = run_doctor("--json", X07_REGISTRY_STORAGE="ftp", X07_REGISTRY_DATA_DIR=str(tmp_path))
    report = json.loads(answer.stdout)
    assert (answer.returncode, report["ok"], len(report["checks"])) == (1, False, 1)
    assert "X07_REGISTRY_STORAGE" in report["checks"][0]["detail"]
    assert report["checks"][0]["mend"]


BROKEN: tuple[tuple[dict[str, Any], set[str], str], ...] = (
    (
        {"database_url": f"postgres://x07:secret@{DEAD}/x07"},
        {"database", "database against storage", "clock of the database", "signing key", "transparency log"},
        "Connect",
    ),
    ({"redis_url": f"redis://:secret@{DEAD}/0"}, {"redis"}, "Connect"),
    ({"public_base": f"http://{DEAD}"}, {"public base"}, "connect"),
    ({"verified_namespaces": ("x07",)}, {"public base"}, "other settings"),
    ({"session_cookie_secure": True}, {"public base"}, "https"),
    ({"github_client_secret": "wrong-secret"}, {"github"}, "incorrect_client_credentials"),
    ({"github_api_base": f"http://{DEAD}"}, {"github"}, "connect"),
    ({"lint_command": "x07-nowhere {file} {world}"}, {"lint command"}, "x07-nowhere"),
    ({"pkg_signing_key_id": "another"}, {"signing key", "public base"}, "key-2026-01"),
)


async def test_what_does_not_answer_or_does_not_match_is_told(healthy: Registry) -> None:
    """Each dependency is broken in turn: only that check fails, and no secret is printed."""
    for broken, checks, told in BROKEN:
        found = await failures(Settings(**{**healthy.settings.model_dump(), **broken}))
        assert set(found) == checks, broken
        assert any(told in finding.detail for finding in found.values()), found
        assert not any("secret" in finding.detail for finding in found.values()), found


async def test_a_role_without_the_signing_secret_is_well_with_the_public_key(healthy: Registry) -> None:
    """The doctor prints the public key where the secret is configured."""
    (signing,) = [one for one in await examine(healthy.settings) if one.check == "signing key"]
    public = signing.detail.split()[-1]
    fields = {**healthy.settings.model_dump(), "pkg_signing_ed25519_secret_b64": None}
    (signing,) = [one for one in await examine(Settings(**fields)) if one.check == "signing key"]
    assert signing.status == "failed", "nothing tells the key of a signed version"
    findings = await examine(Settings(**{**fields, "pkg_signing_public_key_b64": public}))
    assert [finding for finding in findings if finding.status == "failed"] == []


@pytest.mark.parametrize(
    ("sql", "check", "told"),
    [
        ("DROP EXTENSION pg_trgm CASCADE", "database extensions", "pg_trgm"),
        ("UPDATE alembic_version SET version_num = '0001'", "database schema", "revision 0001"),
        ("DROP TABLE alembic_version", "database schema", "revision none"),
    ],
)
async def test_a_database_that_lacks_something_is_told(
    make_settings: MakeSettings, sql: str, check: str, told: str
) -> None:
    """Each finding names the command that fixes it."""
    settings = await make_settings()
    connection = await asyncpg.connect(settings.database_url.get_secret_value())
    await connection.execute(sql)
    await connection.close()
    found = {finding.check: finding for finding in await database.examine_database(settings)}
    assert [name for name, finding in found.items() if finding.status == "failed"] == [check]
    assert told in found[check].detail
    assert "migrate" in found[check].mend


async def test_a_role_without_rights_is_told_which(
    make_settings: MakeSettings, postgres: EmbeddedPostgres
) -> None:
    """A server that can read but not write would fail at the first publish."""
    settings = await make_settings()
    url = settings.database_url.get_secret_value()
    connection = await asyncpg.connect(url)
    await connection.execute(
        """
        DROP ROLE IF EXISTS half;
        CREATE ROLE half;
        GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO half;
        REVOKE INSERT, DELETE ON packages FROM half;
        SET ROLE half;
        """
    )
    await connection.close()
    await _run(url, "ALTER DATABASE {} SET role = 'half'")
    findings = await database.examine_database(settings)
    wrong = [finding for finding in findings if finding.status == "failed"]
    assert [finding.check for finding in wrong] == ["database rights"]
    assert wrong[0].detail == "this role lacks rights on packages (DELETE, INSERT)"
    await _run(postgres.url, f"ALTER DATABASE {url.partition('?')[0].rpartition('/')[2]} RESET role")


async def _run(url: str, sql: str) -> None:
    """Run a statement on the database of a URL, whose name takes the place of {}."""
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(sql.format(await connection.fetchval("SELECT current_database()")))
    finally:
        await connection.close()


@pytest.mark.parametrize(
    ("server", "told"),
    [(Server(140_011, "14.11", False), "14.11 is too old"), (Server(160_002, "16.2", True), "read-only")],
)
def test_an_old_server_and_a_standby_are_told(server: Server, told: str) -> None:
    """No wheel provides these servers, so the pure function is tested."""
    assert told in database._server(server).detail


async def test_a_redis_that_refuses_keys_is_told(make_settings: MakeSettings) -> None:
    """It still answers a ping."""
    settings = await make_settings()
    url = settings.redis_url.get_secret_value()
    async with Redis.from_url(url) as redis:
        await redis.execute_command("ACL", "SETUSER", "doctored", "reset", "on", "nopass", "+ping", "+select")
        refused = Settings(**{**settings.model_dump(), "redis_url": with_user(url, "doctored")})
        found = await failures(refused)
        await redis.execute_command("ACL", "DELUSER", "doctored")
    assert "no permissions" in found["redis"].detail.lower()


def with_user(url: str, user: str) -> str:
    """The URL with a user that needs no password."""
    scheme, _, rest = url.partition("://")
    return f"{scheme}://{user}:any@{rest}"


async def test_a_data_directory_that_is_none_is_told(make_settings: MakeSettings, tmp_path: Path) -> None:
    """The finding names the variable to correct."""
    (tmp_path / "file").write_bytes(b"")
    found = await failures(await make_settings(data_dir=tmp_path / "file"))
    assert "upload of a probe" in found["storage"].detail
    assert "X07_REGISTRY_DATA_DIR" in found["storage"].mend


@pytest.mark.parametrize("broken", [{"s3_secret_access_key": "wrong"}, {"s3_endpoint": f"http://{DEAD}"}])
async def test_a_bucket_that_cannot_be_written_is_told(
    make_settings: MakeSettings, seaweedfs: Any, broken: dict[str, Any]
) -> None:
    """The key is wrong, or the endpoint is dead; the finding names the variables to correct."""
    settings = await make_settings(storage="s3", **{**seaweedfs.settings, **broken})
    found = await failures(settings)
    assert "X07_REGISTRY_S3_ENDPOINT" in found["storage"].mend
    assert "upload of a probe" in found["storage"].detail


async def test_a_bucket_that_is_well_keeps_no_probe(make_settings: MakeSettings, seaweedfs: Any) -> None:
    """All calls work on a real S3 server, and its clock is checked."""
    settings = await make_settings(storage="s3", s3_prefix="doctored", **seaweedfs.settings)
    findings = await storage.examine_storage(settings)
    assert [finding.status for finding in findings] == ["ok", "ok"]


class ForgetfulStorage(FileSystemStorage):
    """A store that ignores some conditions of one kind of call."""

    def __init__(self, root: Path, call: str, ignored: dict[str, Any]) -> None:
        super().__init__(root)
        self._ignored = {"put": {}, "copy": {}} | {call: ignored}

    async def put(self, key: str, body: bytes, **how: Any) -> bool:
        return await super().put(key, body, **{**how, **self._ignored["put"]})

    async def copy(self, source: str, target: str, **how: Any) -> bool:
        return await super().copy(source, target, **{**how, **self._ignored["copy"]})


@pytest.mark.parametrize(
    ("call", "ignored"),
    [("put", {"only_if_absent": False}), ("put", {"if_revision": None}), ("copy", {"only_if_absent": False})],
    ids=str,
)
async def test_a_store_that_ignores_conditions_is_told(
    tmp_path: Path, call: str, ignored: dict[str, Any]
) -> None:
    """Some S3 servers ignore If-None-Match or If-Match. The probes are deleted here too."""
    forgetful = ForgetfulStorage(tmp_path / "tree", call, ignored)
    await forgetful.create()
    findings = await storage._examine(forgetful, Settings(data_dir=tmp_path / "tree"))
    assert [finding.status for finding in findings] == ["failed"]
    assert f"conditional {'write' if call == 'put' else call}" in findings[0].detail
    assert [info async for info in forgetful.list("")] == []
    await forgetful.close()


@pytest.mark.parametrize(
    ("hours", "side"), [(1, "s behind this machine's"), (-1, "s ahead of this machine's")]
)
async def test_a_clock_that_is_off_is_told(make_settings: MakeSettings, hours: int, side: str) -> None:
    """Our clock is compared with the real database's, and with storage's."""

    def now() -> datetime:
        return datetime.now(UTC) + timedelta(hours=hours)

    findings = await clock.examine_database_clock(await make_settings(), now)
    findings.append(clock.storage_clock(datetime.now(UTC), now(), now()))
    assert [finding.status for finding in findings] == ["failed", "failed"]
    assert all(side in finding.detail for finding in findings)


async def test_a_probe_is_not_visible_to_readers(healthy: Registry) -> None:
    """No path of readers leads to it."""
    key = "staging/" + "0" * 64
    await healthy.storage.put(key, b"probe", content_type="application/octet-stream", digest="0" * 64)
    for path in (f"/{key}", f"/index/{key}", f"/index/../{key}", f"/v1/packages/{key}/download"):
        assert (await healthy.http.get(path)).status_code >= 300
