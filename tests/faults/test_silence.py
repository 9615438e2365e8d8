"""Each dependency accepts connections and never answers: requests fail in time with the right error."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import pytest
import pytest_asyncio

from deploy.doctor.examination import examine
from shared.change_listener import ChangeListener
from shared.database import Database
from shared.errors import DatabaseUnavailable
from shared.messages import Change, Notifier
from shared.names import PackageName, shard_path
from shared.settings import Settings
from tests.fault_proxy import FaultProxy, Hang
from tests.faults.cluster import Cluster
from tests.faults.conftest import MakeCluster
from tests.faults.promises import Promises
from tests.faults.servers import Servers
from tests.faults.test_postgres import through
from tests.seaweedfs import SeaweedFs
from tests.stack import eventually

ROW = "a dependency takes connections and never answers"
HELLO = f"/index/{shard_path(PackageName('hello'))}?x07_refresh=1"

TIME_LIMITS: dict[str, dict[str, Any]] = {
    "database": {"database_timeout_seconds": 0.5},
    "storage": {"s3_timeout_seconds": 0.5},
    "redis": {},
}

# Actually about 3 s, on a machine that is less busy than one that runs tests.
WITHIN_S = 30


@dataclass(frozen=True, slots=True)
class Silence:
    """The effects of a silent dependency. checks: those of the doctor that fail."""

    publish_status: int
    ready_status: int
    is_stale: bool
    checks: frozenset[str]


OF_DATABASE = frozenset({"database", "clock of the database", "signing key", "database against storage"})
SILENCES = {
    # A statement takes 0.5 s, giving up on Postgres 2 s, and closing the connection as long.
    "database": Silence(503, 503, False, OF_DATABASE),
    # 3 attempts of 0.5 s.
    "storage": Silence(503, 503, True, frozenset({"storage", "database against storage"})),
    # Wake-ups and limits are given up at once, and the sweep publishes.
    "redis": Silence(200, 200, False, frozenset({"redis"})),
}


@pytest_asyncio.fixture
async def proxies(servers: Servers, seaweedfs: SeaweedFs) -> AsyncIterator[Mapping[str, FaultProxy]]:
    """A proxy in front of each dependency, by the name that readiness uses."""
    places: dict[str, Any] = {
        "database": servers.postgres_socket,
        "storage": seaweedfs.endpoint,
        "redis": servers.valkey_socket,
    }
    async with AsyncExitStack() as stack:
        yield {
            name: await stack.enter_async_context(FaultProxy.before(place).running())
            for name, place in places.items()
        }


@pytest_asyncio.fixture
async def cluster(
    make_cluster: MakeCluster,
    servers: Servers,
    seaweedfs: SeaweedFs,
    proxies: Mapping[str, FaultProxy],
    name: str,
) -> Cluster:
    """A cluster over a bucket, with all dependencies behind the proxies. name: of the one that falls silent.

    Only that one has a short time limit, which the others would exceed on a busy machine.
    """
    url = await servers.new_database()
    values: dict[str, Any] = {
        "database_url": through(proxies["database"], url),
        "redis_url": f"redis://127.0.0.1:{proxies['redis'].port}/0",
        "storage": "s3",
        **seaweedfs.settings,
        "s3_prefix": f"faults-{uuid4().hex}/",
        "s3_endpoint": f"http://127.0.0.1:{proxies['storage'].port}",
        **TIME_LIMITS[name],
    }
    behind = {
        "database_url": url,
        "redis_url": servers.valkey.url,
        "s3_endpoint": seaweedfs.endpoint,
    }
    return await make_cluster(behind=behind, **values)


@pytest.mark.parametrize("name", SILENCES)
async def test_a_dependency_that_never_answers_is_given_up_in_time(
    cluster: Cluster,
    promises: Promises,
    proxies: Mapping[str, FaultProxy],
    name: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A publish gets 503, readers get existing files, readiness and doctor name the dependency."""
    expected, proxy = SILENCES[name], proxies[name]
    writer, reader, _ = await cluster.start_all("write", "read", "worker")
    await promises.publish_again(writer.http, "hello", "0.1.0")
    await promises.until_published()
    before = (await reader.http.get(HELLO)).content
    proxy.freeze()
    proxy.inject(Hang())
    promises.tally.faults += 1
    if name == "database":  # the doctor connects three times
        monkeypatch.setattr("shared.postgres_connections.CONNECT_TIMEOUT_S", 1.0)
    settings = Settings(**cluster.values)
    begun = time.monotonic()
    findings = asyncio.create_task(examine(settings))
    answer = await promises.publish(writer.http, "hello", "0.2.0")
    assert answer is not None
    assert answer.status_code == expected.publish_status, answer.text
    assert time.monotonic() - begun < WITHIN_S
    ready = await writer.http.get("/readyz")
    assert ready.status_code == expected.ready_status
    assert [part for part, found in ready.json()["dependencies"].items() if not found["ok"]] == [name]
    index = await reader.http.get(HELLO)
    assert index.status_code == 200
    assert index.content.startswith(before)
    assert ("x-x07-stale" in index.headers) == expected.is_stale
    failed = {finding.check for finding in await findings if finding.status == "failed"}
    assert failed - {"public base"} == expected.checks  # nothing listens at the public base of a test
    proxy.heal()
    promises.healed()
    await promises.publish_again(writer.http, "hello", "0.2.0")
    await promises.are_kept(reader.http)


async def test_one_silent_connection_is_waited_for_and_not_each_of_the_pool(servers: Servers) -> None:
    """Otherwise, after a network failure, requests would fail one by one for minutes."""
    async with FaultProxy.before(servers.postgres_socket).running() as proxy:
        url = through(proxy, await servers.new_database())
        database = Database(Settings(database_url=url, database_timeout_seconds=0.5))

        async def hold() -> None:
            async with database.transaction() as tx:
                await tx.exec_driver_sql("SELECT pg_sleep(0.2)")

        await asyncio.gather(*(hold() for _ in range(6)))
        assert database.pool_use().idle == 6
        proxy.freeze()
        with pytest.raises(DatabaseUnavailable):
            await database.check()
        begun = time.monotonic()
        for _ in range(6):
            await database.check()
        assert time.monotonic() - begun < 6 * 1.5
        await database.close()


async def test_a_listener_that_met_silence_hears_again(servers: Servers) -> None:
    """The greeting of a new connection has no time limit of its own; readers could stay deaf."""
    async with FaultProxy.before(servers.valkey_socket).running() as proxy:
        settings = Settings(redis_url=f"redis://127.0.0.1:{proxy.port}/0", redis_namespace=uuid4().hex)
        heard: list[Change] = []
        listening = asyncio.create_task(ChangeListener(settings, heard.append, lambda: None).run())
        proxy.inject(Hang())

        async def has_struck() -> bool:
            return proxy.strikes > 0

        await eventually(has_struck)
        proxy.heal()
        notifier = Notifier(settings)

        async def is_heard() -> bool:
            await notifier.announce(Change(("catalog",)))
            return bool(heard)

        await eventually(is_heard)
        listening.cancel()
        await asyncio.gather(listening, return_exceptions=True)
        await notifier.close()
