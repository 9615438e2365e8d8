"""Secrets never appear in logs, errors or metrics: the test searches the output of a whole run."""

from __future__ import annotations

import re
import secrets
from base64 import b64encode
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio
from starlette.responses import Response

from shared.settings import Settings
from tests.archives import hello_archive
from tests.browser import CALLBACK, WEB_ORIGIN, Browser, query_of
from tests.deploy.test_cli import run
from tests.faults.cluster import Cluster, Process
from tests.github_server import CLIENT_ID, CLIENT_SECRET, EMAILS, TOKEN, USER, GithubServer
from tests.seaweedfs import SeaweedFs
from tests.stack import bearer, eventually, running_registry, serving

SEED = b64encode(secrets.token_bytes(32)).decode()
DATABASE_PASSWORD, REDIS_PASSWORD = "hidden-database-password", "hidden-redis-password"
MIN_CHARACTERS, BEGINNING = 8, 20


@dataclass
class Run:
    """Running processes, the secrets they were given, and the errors that they answered.

    clients: are closed at the end.
    """

    cluster: Cluster
    github: GithubServer
    secrets: dict[str, str]
    errors: list[str] = field(default_factory=list)
    clients: AsyncExitStack = field(default_factory=AsyncExitStack)

    async def heard(self, response: httpx.Response) -> None:
        """Keep an error's text and headers. Called for each answer."""
        await response.aread()
        if response.status_code >= 400:
            self.errors.append(f"{response.headers} {response.text}")

    async def browser(self, process: Process) -> Browser:
        """A browser at a process."""
        client = httpx.AsyncClient(
            base_url=process.http.base_url, timeout=60, event_hooks={"response": [self.heard]}
        )
        return Browser(await self.clients.enter_async_context(client), self.github.url)

    def require_silence(self, *more: str) -> None:
        """Fail if a log, error or metric has a secret or its beginning, because long values may be cut."""
        said = [*self.errors, *more]
        said += [log.read_text(errors="replace") for log in self.cluster._directory.glob("*.log")]
        for name, secret in self.secrets.items():
            assert len(secret) >= MIN_CHARACTERS, f"{name} is too short to be looked for"
            for text in said:
                at = text.find(secret[:BEGINNING])
                assert at < 0, f"{name} is in: …{text[max(0, at - 300) : at + 100]}…"


@pytest_asyncio.fixture
async def a_run(
    new_database: Callable[[], Awaitable[str]], valkey: Any, seaweedfs: SeaweedFs, tmp_path: Path
) -> AsyncIterator[Run]:
    """A cluster whose settings have every kind of secret, and which uses them all."""
    github = GithubServer()
    async with serving(github.app) as github.url:
        github.add("octo", 583231)
        url = await new_database()
        values = {
            "database_url": url.replace("postgres@", f"postgres:{DATABASE_PASSWORD}@"),
            "redis_url": valkey.url,
            "redis_namespace": tmp_path.name,
            "public_base": "http://registry.invalid",
            "web_base": WEB_ORIGIN,
            "cors_origins": WEB_ORIGIN,
            "github_client_id": CLIENT_ID,
            "github_client_secret": CLIENT_SECRET,
            "github_authorize_base": github.url,
            "github_api_base": github.url,
            "session_cookie_secure": False,
            "pkg_signing_ed25519_secret_b64": SEED,
            "pkg_signing_key_id": "key",
            "storage": "s3",
            "s3_prefix": tmp_path.name,
            **seaweedfs.settings,
            "log_level": "debug",
            "access_log": True,
            "metrics_bind": "127.0.0.1:0",
            "publish_wait_seconds": 30,
            "sweep_seconds": 0.5,
        }
        settings = Settings(**{**values, "cors_origins": (WEB_ORIGIN,)})
        known = {
            "database password": DATABASE_PASSWORD,
            "redis password": REDIS_PASSWORD,
            "client secret": CLIENT_SECRET,
            "signing seed": SEED,
            "S3 secret": seaweedfs.settings["s3_secret_access_key"],
        }
        async with running_registry(settings, with_worker=False) as registry:
            cluster = Cluster(values, registry, tmp_path)
            try:
                running = Run(cluster, github, known)
                async with running.clients:
                    yield running
            finally:
                await cluster.close()


async def metrics_of(process: Process) -> str:
    """A process's metrics as operators read them."""

    async def address() -> tuple[str, str] | None:
        found = re.search(r'"host": "([^"]+)", "port": ([0-9]+)', process.log.read_text())
        return (found[1], found[2]) if found else None

    host, port = await eventually(address)
    async with httpx.AsyncClient() as http:
        return (await http.get(f"http://{host}:{port}/metrics")).text


@pytest.mark.parametrize("log_format", ["json", "console"])
async def test_no_secret_is_in_what_a_whole_run_says(a_run: Run, log_format: str) -> None:
    """Sign-in, tokens, publishes, and failures of all kinds, at the most verbose log level."""
    told, cluster = a_run.secrets, a_run.cluster
    write, read, worker = [
        await cluster.start(kind, log_format=log_format) for kind in ("write", "read", "worker")
    ]
    browser = await a_run.browser(write)
    await sign_in(browser, a_run)
    headers = {"origin": WEB_ORIGIN, "x-x07-csrf": told["csrf token"]}
    made = await browser.http.post(
        "/v1/tokens", json={"label": "ci", "scopes": ["publish", "owner.manage"]}, headers=headers
    )
    token = told["token"] = made.json()["token"]
    published = await browser.http.post(
        "/v1/packages/publish", content=hello_archive(), headers=bearer(token)
    )
    assert (published.status_code, published.headers["x-x07-index-published"]) == (200, "true")
    assert (await read.http.get("/index/he/ll/hello", headers=bearer(token))).status_code == 200

    await fail_in_many_ways(browser, a_run, token, headers)
    await break_down(browser, a_run, token)

    metrics = [await metrics_of(process) for process in (write, read, worker)] if log_format == "json" else []
    assert all("http_requests" in text or "jobs" in text for text in metrics)
    log = write.log.read_text()
    assert "signed_in" in log
    assert "unhandled_exception" in log
    assert "Traceback" in log
    assert len(a_run.errors) > 20
    a_run.require_silence(*metrics)


async def sign_in(browser: Browser, a_run: Run) -> None:
    """Sign in, and record all secrets on the way."""
    told = a_run.secrets
    started = await browser.start("/tokens")
    told["state"] = query_of(started.headers["location"])["state"]
    told["browser secret"] = browser.http.cookies["x07_oauth_browser"]
    back = await browser.approve(started.headers["location"], "octo")
    told["code"] = query_of(back)["code"]
    assert (await browser.http.get(back)).status_code == 302
    token, user, _ = a_run.github.asked
    told["verifier"] = token.form["code_verifier"]
    told["GitHub token"] = user.headers["authorization"].removeprefix("Bearer ")
    told["session"] = browser.http.cookies["x07_session"]
    told["csrf token"] = (await browser.session())["csrf_token"]


async def fail_in_many_ways(browser: Browser, a_run: Run, token: str, headers: dict[str, str]) -> None:
    """Make every mistake that a client or GitHub can make, with secrets wherever they fit."""
    http, told = browser.http, a_run.secrets
    path = "/v1/packages/publish"
    for credential in (f"Bearer {token}x", f"bearer {token}", f"Basic {token}", f"Bearer {told['session']}"):
        await http.post(path, content=hello_archive(), headers={"authorization": credential})
    await http.get("/v1/account", headers=[("authorization", f"Bearer {token}")] * 2)
    await http.post(path, content=b"not a tar", headers=bearer(token))
    await http.post(path, content=hello_archive(), headers=bearer(token))
    await http.post(path, content=hello_archive(name=token.upper()), headers=bearer(token))
    await http.post("/v1/tokens", json={}, headers=bearer(token))
    await http.post("/v1/tokens", json={"scopes": ["admin"]}, headers=headers)
    await http.post(
        "/v1/tokens", content=b"{" + token.encode(), headers=headers | {"content-type": "application/json"}
    )
    await http.post("/v1/tokens", json={}, headers=headers | {"x-x07-csrf": told["csrf token"][:-1]})
    await http.post("/v1/tokens", json={}, headers={"origin": WEB_ORIGIN})
    await http.post("/v1/tokens", json={}, headers=headers | {"origin": "https://evil.example"})
    await http.get("/v1/tokens", headers={"cookie": f"x07_session={told['session']}x"})
    await http.get("/v1/tokens", headers={"cookie": f"x07_session={told['session']}; x07_session=other"})
    await http.get(CALLBACK, params={"code": told["code"], "state": told["state"]})
    await http.get(CALLBACK, params=[("code", told["code"])] * 2)
    await http.get(CALLBACK, params={"code": told["code"]})
    await http.get("/v1/auth/github/start", params={"next": f"//{told['session']}"})
    await http.request("PATCH", "/v1/tokens", headers=bearer(token))
    for asked in (TOKEN, USER, EMAILS):
        body = f'{{"access_token": 7, "echo": "{CLIENT_SECRET} {told["GitHub token"]}"}}'
        a_run.github.answers[asked] = Response(body, 500 if asked == EMAILS else 200)
        back = await browser.way_back("octo")
        told[f"code {asked}"] = query_of(back)["code"]
        told[f"state {asked}"] = query_of(back)["state"]
        await http.get(back)
        del a_run.github.answers[asked]


async def break_down(browser: Browser, a_run: Run, token: str) -> None:
    """Cause unexpected errors during work with secrets, and errors of the database."""
    http, registry = browser.http, a_run.cluster.registry
    csrf = a_run.secrets["csrf token"]
    for damage in (
        "ALTER TABLE web_sessions ALTER csrf_token DROP NOT NULL",
        "UPDATE web_sessions SET csrf_token = NULL",
        "ALTER TABLE tokens ALTER scopes DROP NOT NULL",
        "ALTER TABLE tokens ADD CONSTRAINT broken CHECK (false) NOT VALID",
        "ALTER TABLE oauth_states ADD CONSTRAINT broken CHECK (false) NOT VALID",
    ):
        async with registry.database.transaction() as tx:
            await tx.exec_driver_sql(damage)
    headers = {"origin": WEB_ORIGIN, "x-x07-csrf": csrf}
    assert (await http.post("/v1/auth/logout", headers=headers)).status_code == 500
    assert (await http.get("/v1/auth/github/start")).status_code == 500
    async with registry.database.transaction() as tx:
        await tx.exec_driver_sql("ALTER TABLE tokens DROP CONSTRAINT broken")
        await tx.exec_driver_sql("UPDATE tokens SET scopes = NULL")
    assert (await http.get("/v1/account", headers=bearer(token))).status_code == 500


async def test_no_secret_is_in_what_a_process_without_its_servers_says(a_run: Run) -> None:
    """Passwords are part of addresses, and error messages often contain addresses."""
    cluster, token = a_run.cluster, f"x07t_{secrets.token_hex(32)}"
    a_run.secrets["token"] = token
    away = {
        "database_url": f"postgres://x07:{DATABASE_PASSWORD}@127.0.0.1:1/x07",
        "redis_url": f"redis://:{REDIS_PASSWORD}@127.0.0.1:1/0",
        "s3_endpoint": "http://127.0.0.1:1",
    }
    write = await cluster.start("write", **away)
    worker = await cluster.start("worker", **away)
    browser = await a_run.browser(write)
    answer = await browser.http.post("/v1/packages/publish", content=hello_archive(), headers=bearer(token))
    assert answer.status_code == 503
    assert (await browser.http.get("/readyz")).status_code == 503
    await eventually(lambda: _says(worker, "unavailable"))
    a_run.require_silence(await metrics_of(write))


async def _says(process: Process, word: str) -> bool:
    return word in process.log.read_text()


WRONG = {
    "PKG_SIGNING_ED25519_SECRET_B64": f"hidden-{SEED}",
    "DATABASE_URL": f"mysql://x07:{DATABASE_PASSWORD}@/x07",
    "REDIS_URL": f"http://:{REDIS_PASSWORD}@127.0.0.1/",
}


@pytest.mark.parametrize("variable", WRONG)
def test_a_wrong_secret_is_refused_without_being_told(variable: str) -> None:
    """The output of a failed start ends up in the logs of a deployment."""
    ended = run(
        "token",
        "create",
        "--handle",
        "a",
        "--scopes",
        "publish",
        **{
            f"X07_REGISTRY_{variable}": WRONG[variable],
            "X07_REGISTRY_PKG_SIGNING_KEY_ID": "key",
        },
    )
    for secret in (SEED, DATABASE_PASSWORD, REDIS_PASSWORD):
        assert secret not in ended.stdout + ended.stderr
