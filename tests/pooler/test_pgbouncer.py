"""Registries behind PgBouncer: it pools transactions, and takes no startup parameters or ignores them."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
import pytest_asyncio

from deploy.doctor.examination import examine
from deploy.local.home import Home
from deploy.local.postgres import EmbeddedPostgres
from deploy.migrations.runner import migrate
from shared.database import Database
from shared.errors import DatabaseUnavailable
from shared.settings import Settings
from tests.archives import hello_archive
from tests.conftest import MakeSettings
from tests.pooler.pgbouncer import running_pgbouncer
from tests.stack import Registry, running_registry

IGNORED = "search_path, statement_timeout, lock_timeout, idle_in_transaction_session_timeout"
NAMES = [f"package-{number}" for number in range(12)]


@pytest_asyncio.fixture(params=[{}, {"ignore_startup_parameters": IGNORED}], ids=["refuses", "ignores"])
async def pooled_url(
    request: pytest.FixtureRequest,
    servers_home: Home,
    postgres: EmbeddedPostgres,
    new_database: Callable[[], Awaitable[str]],
) -> AsyncIterator[str]:
    """A database, reached through a PgBouncer that has two server connections for it."""
    url = await new_database()
    with tempfile.TemporaryDirectory(prefix="x07-pool-", dir="/tmp") as folder:
        directory, account = Path(folder) / "run", servers_home.account
        Path(folder).chmod(0o711)
        async with running_pgbouncer(servers_home.sockets, directory, account, **request.param) as sockets:
            yield url.replace(str(servers_home.sockets), str(sockets))


async def test_two_registries_behind_one_pooler_stay_apart_and_lose_nothing(
    pooled_url: str, make_default_settings: MakeSettings, tmp_path: Path
) -> None:
    """Each has a schema, users and packages of its own, though they share two server connections."""
    fast = {"database_url": pooled_url, "catalog_debounce_seconds": 0.02, "sweep_seconds": 0.5}
    one = await make_default_settings(**fast, data_dir=tmp_path / "one")
    other = await make_default_settings(**fast, data_dir=tmp_path / "other", database_schema="other")
    await migrate(other)
    async with running_registry(one) as first, running_registry(other) as second:
        alice, bob = await first.add_publisher("alice"), await second.add_publisher("bob")
        assert (await second.http.get("/v1/account", headers=alice)).status_code == 401
        await asyncio.gather(*(_publish_all(first, alice), _publish_all(second, bob)))
        for registry, handle in ((first, "alice"), (second, "bob")):
            assert await registry.rows("SELECT handle FROM users") == [(handle,)]
            assert (await registry.http.get("/readyz")).status_code == 200
        found = [finding for finding in await examine(one) if finding.check.startswith("database")]
    assert [finding.status for finding in found] == ["ok"] * len(found)
    told = next(finding.detail for finding in found if finding.check == "database connection")
    assert "pooler" in told
    assert 'schema "public"' in told


async def _publish_all(registry: Registry, headers: dict[str, str]) -> None:
    """Publish many packages at once, and see each one in the index and in the search."""
    answers = await asyncio.gather(*(registry.publish(hello_archive(name), headers) for name in NAMES))
    assert [answer.status_code for answer in answers] == [200] * len(NAMES)
    for name in NAMES:
        await registry.until_in_catalog(name, "0.1.0")
    found = (await registry.http.get("/v1/search?q=package-&limit=50")).json()
    assert found["total"] == len(NAMES)


async def test_limits_hold_in_each_transaction(pooled_url: str, make_default_settings: MakeSettings) -> None:
    """PgBouncer would take no timeout for a whole session."""
    database = Database(await make_default_settings(database_url=pooled_url, database_timeout_seconds=0.3))
    for connect in (database.transaction, database.reading):
        async with connect() as tx:
            assert (await tx.exec_driver_sql("SHOW search_path")).scalar_one().replace(
                '"', ""
            ) == "public, public"
            assert (await tx.exec_driver_sql("SHOW lock_timeout")).scalar_one() == "10s"
        with pytest.raises(DatabaseUnavailable):
            async with connect() as tx:
                await tx.exec_driver_sql("SELECT pg_sleep(10)")
    await database.close()


async def test_a_pooler_that_has_no_transactions_is_refused(
    servers_home: Home, new_database: Callable[[], Awaitable[str]]
) -> None:
    """With `pool_mode = statement` nothing could hold a schema; no statement of ours may run."""
    url = await new_database()
    with tempfile.TemporaryDirectory(prefix="x07-pool-", dir="/tmp") as folder:
        Path(folder).chmod(0o711)
        async with running_pgbouncer(
            servers_home.sockets,
            Path(folder) / "run",
            servers_home.account,
            pool_mode="statement",
            ignore_startup_parameters=IGNORED,
        ) as sockets:
            database = Database(Settings(database_url=url.replace(str(servers_home.sockets), str(sockets))))
            with pytest.raises(DatabaseUnavailable):
                await database.check()
            await database.close()
