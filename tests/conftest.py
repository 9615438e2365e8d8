"""Real servers, started once a session: Postgres, Valkey and S3; a fresh registry for each test."""

from __future__ import annotations

import itertools
import tempfile
from base64 import b64encode
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest
import pytest_asyncio

from deploy.local.home import Home, open_home
from deploy.local.postgres import EmbeddedPostgres
from deploy.local.valkey import EmbeddedValkey
from deploy.migrations.runner import migrate
from shared.settings import Settings
from tests.edge.nginx import find_nginx
from tests.loud import tell
from tests.seaweedfs import SeaweedFs
from tests.stack import Registry, running_registry

TEMPLATE = "template_x07"
SEED = b64encode(bytes(range(32))).decode()
SIGNING = {"pkg_signing_ed25519_secret_b64": SEED, "pkg_signing_key_id": "key-2026-01"}
MakeSettings = Callable[..., Awaitable[Settings]]

collect_ignore = [] if find_nginx() else ["edge"]

_numbers = itertools.count(1)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say aloud what was left out."""
    tell(terminalreporter)
    if collect_ignore:
        terminalreporter.section("nginx is not installed: run `make edge-test` for tests/edge", red=True)


@pytest.fixture(scope="session")
def servers_home() -> Iterator[Home]:
    """A locked directory for the session's Postgres and Valkey.

    Not below pytest's own: the next session closes that to the account that Postgres runs as.
    """
    with tempfile.TemporaryDirectory(prefix="x07-test-") as directory, open_home(Path(directory)) as home:
        yield home


@pytest_asyncio.fixture(scope="session")
async def postgres(servers_home: Home) -> AsyncIterator[EmbeddedPostgres]:
    """A Postgres for the session; nothing in it must survive a power cut."""
    server = EmbeddedPostgres(servers_home, durable=False)
    await server.start()
    yield server
    await server.stop()


@pytest_asyncio.fixture(scope="session")
async def valkey(servers_home: Home) -> AsyncIterator[EmbeddedValkey]:
    """A Valkey for the session."""
    server = EmbeddedValkey(servers_home)
    await server.start()
    yield server
    await server.stop()


@pytest.fixture(scope="session")
def seaweedfs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SeaweedFs]:
    """An S3 server with a bucket for the session."""
    server = SeaweedFs(tmp_path_factory.mktemp("seaweedfs"))
    server.start()
    yield server
    server.stop()


@pytest_asyncio.fixture(scope="session")
async def new_database(postgres: EmbeddedPostgres) -> Callable[[], Awaitable[str]]:
    """Makes a migrated database, copied from a template; its URL."""
    await _command(postgres.url, f"CREATE DATABASE {TEMPLATE}")
    await migrate(Settings(database_url=postgres.url_of(TEMPLATE)))

    async def make() -> str:
        name = f"test_{next(_numbers)}"
        await _command(postgres.url, f"CREATE DATABASE {name} TEMPLATE {TEMPLATE}")
        return str(postgres.url_of(name))

    return make


async def _command(url: str, sql: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(sql)
    finally:
        await connection.close()


@pytest.fixture(params=["fs", "s3"])
def storage_settings(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, Any]:
    """Settings of a fresh, empty store: each test that uses it runs on both back ends."""
    if request.param == "fs":
        return {"storage": "fs", "data_dir": tmp_path / "tree"}
    server: SeaweedFs = request.getfixturevalue("seaweedfs")
    return {"storage": "s3", "s3_prefix": f"test-{next(_numbers)}", **server.settings}


@pytest.fixture
def make_settings(
    new_database: Callable[[], Awaitable[str]], valkey: EmbeddedValkey, storage_settings: dict[str, Any]
) -> MakeSettings:
    """Makes settings of a fresh registry; overrides by field name."""

    async def make(**overrides: Any) -> Settings:
        values = {
            "database_url": await new_database(),
            "redis_url": valkey.url,
            "redis_namespace": f"test-{next(_numbers)}",
            "catalog_debounce_seconds": 0.02,
            "sweep_seconds": 0.5,
            **storage_settings,
        }
        return Settings(**{**values, **overrides})

    return make


@pytest_asyncio.fixture
async def registry(make_settings: MakeSettings) -> AsyncIterator[Registry]:
    """A fresh registry: both tiers on one address, and a worker."""
    async with running_registry(await make_settings()) as running:
        yield running


@pytest_asyncio.fixture
async def signing_registry(make_settings: MakeSettings) -> AsyncIterator[Registry]:
    """A registry that signs new versions."""
    async with running_registry(await make_settings(**SIGNING)) as running:
        yield running


@pytest_asyncio.fixture
async def workerless_registry(make_settings: MakeSettings) -> AsyncIterator[Registry]:
    """A registry whose worker is away; publishes do not wait long for it."""
    settings = await make_settings(publish_wait_seconds=0.3)
    async with running_registry(settings, with_worker=False) as running:
        yield running


@pytest_asyncio.fixture
async def cors_registry(make_settings: MakeSettings) -> AsyncIterator[Registry]:
    """A registry that a web UI on another origin calls."""
    async with running_registry(await make_settings(cors_origins=("https://web.example",))) as running:
        yield running


@pytest_asyncio.fixture
async def fs_registry(
    new_database: Callable[[], Awaitable[str]], valkey: EmbeddedValkey, tmp_path: Path
) -> AsyncIterator[Registry]:
    """A fresh registry over a directory, for what does not depend on storage."""
    settings = Settings(
        database_url=await new_database(),
        redis_url=valkey.url,
        redis_namespace=f"test-{next(_numbers)}",
        catalog_debounce_seconds=0.02,
        sweep_seconds=0.5,
        data_dir=tmp_path / "tree",
    )
    async with running_registry(settings) as running:
        yield running
