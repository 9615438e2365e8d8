"""Real servers, started once a session: Postgres, Valkey and S3; a fresh registry for each test."""

from __future__ import annotations

import itertools
import os
import tempfile
from base64 import b64encode
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import asyncpg
import hypothesis
import pytest
import pytest_asyncio
from sqlalchemy import make_url

import api.write.app
from deploy.garbage import collect_less_garbage
from deploy.local.home import Home, open_home
from deploy.local.postgres import EmbeddedPostgres
from deploy.local.valkey import EmbeddedValkey
from deploy.migrations.runner import migrate
from shared.settings import Settings
from tests.edge.nginx import find_nginx
from tests.indexer.upkeep.walks import publish_all
from tests.kept_checks import KeptChecks, end_spare_checks
from tests.loud import tell
from tests.memory import servers_directory
from tests.pooler.pgbouncer import find_pgbouncer
from tests.seaweedfs import SeaweedFs
from tests.stack import Registry, running_registry
from tests.varnish.varnish import find_varnish

# Pages are rendered only in the tests of pages, which turn them on.
os.environ.setdefault("X07_REGISTRY_PAGES", "off")

# How long an example takes says how busy the machine is.
hypothesis.settings.register_profile(
    "patient", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("patient")

TEMPLATE = "template_x07"
SEED = b64encode(bytes(range(32))).decode()
SIGNING = {"pkg_signing_ed25519_secret_b64": SEED, "pkg_signing_key_id": "key-2026-01"}
MakeSettings = Callable[..., Awaitable[Settings]]

# Programs that no wheel brings, and the tests that need them.
MISSING = {
    folder: f"{program} is not installed: run `make {folder}-test` for tests/{folder}"
    for folder, program, find in (
        ("edge", "nginx", find_nginx),
        ("pooler", "PgBouncer", find_pgbouncer),
        ("varnish", "Varnish", find_varnish),
    )
    if not find()
}
collect_ignore = list(MISSING)

_numbers = itertools.count(1)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Have each xdist worker begin with its share of the long tests, so that none is left alone at the end.

    The shares are those that `--dist worksteal` gives the workers at the start.
    """
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    long = [item for item in items if item.get_closest_marker("long")]
    short = iter([item for item in items if not item.get_closest_marker("long")])
    ordered: list[pytest.Item] = []
    for number in range(workers):
        share = (len(items) - len(ordered)) // (workers - number)
        first = long[number::workers]
        ordered += [*first, *itertools.islice(short, max(0, share - len(first)))]
    items[:] = [*ordered, *short]


def pytest_collection_finish() -> None:
    """Have Python collect less garbage, as servers do: a tenth of the processor time of these processes."""
    collect_less_garbage()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the tests that were left out in a conspicuous place."""
    tell(terminalreporter)
    for told in MISSING.values():
        terminalreporter.section(told, red=True)


@pytest.fixture(scope="session")
def servers_home() -> Iterator[Home]:
    """A locked directory for the session's Postgres and Valkey.

    Not below pytest's own directory, which the next session closes to the account that Postgres runs as.
    """
    place = servers_directory()
    with (
        tempfile.TemporaryDirectory(prefix="x07-test-", dir=place) as directory,
        open_home(Path(directory)) as home,
    ):
        yield home


@pytest_asyncio.fixture(scope="session")
async def postgres(servers_home: Home) -> AsyncIterator[EmbeddedPostgres]:
    """A Postgres for the session; its data need not survive a power cut."""
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


@pytest_asyncio.fixture(scope="session")
async def checks() -> AsyncIterator[None]:
    """Has registries hand on their processes that check archives; ends them after the last one."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(api.write.app, "Checks", KeptChecks)
        yield
    await end_spare_checks()


@pytest.fixture(scope="session")
def seaweedfs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SeaweedFs]:
    """An S3 server with a bucket for the session."""
    server = SeaweedFs(tmp_path_factory.mktemp("seaweedfs"))
    server.start()
    yield server
    server.stop()


@pytest_asyncio.fixture(scope="session")
async def new_database(postgres: EmbeddedPostgres) -> Callable[[], Awaitable[str]]:
    """Creates migrated databases by copying a template; returns the URL."""
    await command(postgres.url, f"CREATE DATABASE {TEMPLATE}")
    await migrate(Settings(database_url=postgres.url_of(TEMPLATE)))

    async def make() -> str:
        name = f"test_{next(_numbers)}"
        await command(postgres.url, f"CREATE DATABASE {name} TEMPLATE {TEMPLATE} STRATEGY FILE_COPY")
        return str(postgres.url_of(name))

    return make


async def command(url: str, sql: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(sql)
    finally:
        await connection.close()


@pytest.fixture
def short_path() -> Iterator[Path]:
    """The path of a socket that does not exist yet; those of pytest may be too long for one."""
    with tempfile.TemporaryDirectory(prefix="x07-socket-", dir="/tmp") as folder:
        yield Path(folder) / "http.sock"


@pytest.fixture(params=["fs", "s3"])
def storage_settings(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, Any]:
    """Settings of a fresh, empty store. Each test that uses this runs on both back ends."""
    if request.param == "fs":
        return {"storage": "fs", "data_dir": tmp_path / "tree"}
    server: SeaweedFs = request.getfixturevalue("seaweedfs")
    return {"storage": "s3", "s3_prefix": f"test-{next(_numbers)}", **server.settings}


@pytest.fixture
def make_settings(make_default_settings: MakeSettings, storage_settings: dict[str, Any]) -> MakeSettings:
    """Makes settings of a fresh registry on each back end; overrides by field name."""

    async def make(**overrides: Any) -> Settings:
        return await make_default_settings(
            **{"catalog_debounce_seconds": 0.02, "sweep_seconds": 0.5, **storage_settings, **overrides}
        )

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
async def settled(make_settings: MakeSettings) -> AsyncIterator[Registry]:
    """A registry that signs, with three versions of two packages, all published.

    No worker runs, because it would repair what a test damages.
    """
    settings = await make_settings(publish_wait_seconds=0, **SIGNING)
    async with running_registry(settings, with_worker=False) as running:
        await publish_all(running)
        yield running


@pytest_asyncio.fixture
async def workerless_registry(make_settings: MakeSettings) -> AsyncIterator[Registry]:
    """A registry without a running worker; publishes wait for it only briefly."""
    settings = await make_settings(publish_wait_seconds=0.3)
    async with running_registry(settings, with_worker=False) as running:
        yield running


@pytest_asyncio.fixture
async def cors_registry(make_settings: MakeSettings) -> AsyncIterator[Registry]:
    """A registry that a web UI on another origin calls."""
    async with running_registry(await make_settings(cors_origins=("https://web.example",))) as running:
        yield running


@pytest_asyncio.fixture
async def make_default_settings(
    postgres: EmbeddedPostgres,
    new_database: Callable[[], Awaitable[str]],
    valkey: EmbeddedValkey,
    checks: None,
    tmp_path: Path,
) -> AsyncIterator[MakeSettings]:
    """Creates settings of a fresh registry over a directory; overrides by field name.

    Its databases are dropped after the test.
    """
    made: list[str] = []

    async def make(**overrides: Any) -> Settings:
        made.append(await new_database())
        values = {
            "database_url": made[-1],
            "redis_url": valkey.url,
            "redis_namespace": f"test-{next(_numbers)}",
            "data_dir": tmp_path / "tree",
            # A busy machine may stop a test, and the issuer in its process, for seconds.
            "issuer_timeout_seconds": 60,
        }
        return Settings(**{**values, **overrides})

    yield make
    for url in made:
        await command(postgres.url, f"DROP DATABASE IF EXISTS {make_url(url).database} WITH (FORCE)")


@pytest_asyncio.fixture
async def fs_registry(make_default_settings: MakeSettings) -> AsyncIterator[Registry]:
    """A fresh registry over a directory, for tests that do not depend on the kind of storage."""
    settings = await make_default_settings(catalog_debounce_seconds=0.02, sweep_seconds=0.5)
    async with running_registry(settings) as running:
        yield running
