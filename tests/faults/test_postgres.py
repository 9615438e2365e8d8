"""Postgres is restarted, cut off, exhausted or full: 503 with Retry-After, and recovery without help."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from uuid import uuid4

import asyncpg
import httpx
import pytest

from tests.archives import hello_archive
from tests.fault_proxy import Cut, Fault, FaultProxy, Refuse
from tests.faults.cluster import Cluster, Process
from tests.faults.conftest import MakeCluster
from tests.faults.depth import rounds, some
from tests.faults.disks import small_disk
from tests.faults.promises import Promises
from tests.faults.servers import Servers
from tests.faults.tally import Tally
from tests.stack import eventually

ROW = "Postgres restarted, cut mid-transaction, pool exhausted, disk full on its side"
CUT_EVERYBODY = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()
"""
MESSAGES = 40
"""The approximate number of a worker's messages to Postgres for a publication and the catalog."""
MANY_VERSIONS = 200
"""More than the messages of a publish; the loop ends when the faults no longer strike."""


def is_honest(answer: httpx.Response | None) -> bool:
    """True for a correct answer to a publish while Postgres fails: it succeeded, or may be retried."""
    return answer is not None and answer.status_code in (200, 503)


async def test_a_restart_costs_some_answers_and_no_acknowledgement(
    cluster: Cluster, promises: Promises, servers: Servers
) -> None:
    """Publishes run throughout; afterwards everything works, and no process was restarted."""
    writer, reader, _ = await cluster.start_all("write", "read", "worker")
    for round_ in range(rounds(2)):
        stop = asyncio.Event()
        publishers = [
            asyncio.create_task(publish_until(stop, promises, writer, f"package{number}", round_))
            for number in range(4)
        ]
        await until_more(promises, 4)
        await servers.postgres.stop()
        promises.tally.faults += 1
        refused = await promises.publish(writer.http, "hello", f"{round_}.0.0")
        assert refused is not None
        assert refused.status_code == 503
        await servers.postgres.start()
        promises.healed()
        await until_more(promises, 4)
        stop.set()
        await asyncio.gather(*publishers)
        await promises.publish_again(writer.http, "hello", f"{round_}.1.0")
    await promises.are_kept(reader.http)


async def until_more(promises: Promises, count: int) -> None:
    """Wait until this many more publishes are acknowledged."""
    wanted = promises.tally.acknowledged + count

    async def are_there() -> bool:
        return promises.tally.acknowledged >= wanted

    await eventually(are_there)


async def publish_until(
    stop: asyncio.Event, promises: Promises, writer: Process, name: str, round_: int
) -> None:
    """Publish version after version, retrying after a 503; every answer must be correct."""
    minor = 0
    while not stop.is_set():
        answer = await promises.publish(writer.http, name, f"{round_}.{minor}.0")
        if answer is not None and answer.status_code == 409:  # committed by an attempt that was answered 503
            minor += 1
            continue
        assert is_honest(answer), answer and answer.text
        minor += answer is not None and answer.status_code == 200


@pytest.mark.parametrize("fault", [Refuse(), Cut()], ids=["before", "after"])
async def test_a_connection_cut_at_any_message_of_a_publish_costs_at_most_a_retry(
    make_cluster: MakeCluster, servers: Servers, tally: Tally, fault: Fault
) -> None:
    """The connection is cut before the n-th message or at its answer, for every n, including the commit."""
    async with behind_proxy(make_cluster, servers) as (proxy, url, direct):
        promises = Promises(direct, tally, await direct.registry.add_publisher())
        reader, _ = await direct.start_all("read", "worker")
        writer = await direct.start("write", database_url=url, publish_wait_seconds=0)
        for minor in range(MANY_VERSIONS):
            proxy.inject(fault, times=1, after=minor)
            answer = await promises.publish(writer.http, "hello", f"0.{minor}.0")
            proxy.heal()
            promises.healed()
            tally.faults += proxy.strikes
            assert is_honest(answer), answer and answer.text
            await promises.publish_again(writer.http, "hello", f"0.{minor}.0")
            if not proxy.strikes:
                break
        assert not proxy.strikes
        await promises.are_kept(reader.http)


@pytest.mark.parametrize("fault", [Refuse(), Cut()], ids=["before", "after"])
async def test_a_worker_cut_off_in_the_middle_of_a_publication_does_it_again(
    make_cluster: MakeCluster, servers: Servers, tally: Tally, fault: Fault
) -> None:
    """It loses its lock and its transaction; the sweep then writes the files of the rows."""
    async with behind_proxy(make_cluster, servers) as (proxy, url, direct):
        promises = Promises(direct, tally, await direct.registry.add_publisher())
        writer, reader = await direct.start_all("write", "read")
        await direct.start("worker", database_url=url)
        for minor, place in enumerate(some(range(MESSAGES), 6)):
            proxy.inject(fault, times=1, after=place)
            answer = await promises.publish(writer.http, "hello", f"0.{minor}.0")
            assert answer is not None
            assert answer.status_code == 200, answer.text
            promises.healed()
            await promises.until_recovered()
            tally.faults += proxy.strikes
            proxy.heal()
        await promises.are_kept(reader.http)


@asynccontextmanager
async def behind_proxy(
    make_cluster: MakeCluster, servers: Servers
) -> AsyncIterator[tuple[FaultProxy, str, Cluster]]:
    """A proxy in front of Postgres, a database's URL through it, and a cluster that bypasses it."""
    async with FaultProxy.before(servers.postgres_socket).running() as proxy:
        url = await servers.new_database()
        yield proxy, through(proxy, url), await make_cluster(database_url=url)


def through(proxy: FaultProxy, url: str) -> str:
    """The URL of a database through the proxy."""
    return url.partition("?")[0].replace("@", f"@127.0.0.1:{proxy.port}") + "?sslmode=disable"


async def test_no_connection_left_is_told_in_time(
    make_cluster: MakeCluster, servers: Servers, tally: Tally
) -> None:
    """All connections of the process, or of the server, are in use: 503, and 200 once one is free."""
    cluster = await make_cluster()
    promises = Promises(cluster, tally, await cluster.registry.add_publisher())
    writer, small, reader, _ = await asyncio.gather(
        cluster.start("write"),
        cluster.start("write", database_pool_size=1),
        cluster.start("read"),
        cluster.start("worker"),
    )
    await promises.publish(writer.http, "hello", "0.0.0")
    async with every_connection_taken(servers):
        tally.faults += 1
        fresh = await cluster.start("write")
        answer = await promises.publish(fresh.http, "hello", "0.1.0")
        assert answer is not None
        assert answer.status_code == 503
    async with cluster.registry.database.transaction() as tx:
        await tx.exec_driver_sql("SELECT 1 FROM packages FOR UPDATE")
        tally.faults += 1
        begun = time.monotonic()
        held = await asyncio.gather(
            *(promises.publish(small.http, "hello", f"9.{minor}.0") for minor in range(2))
        )
        assert [answer.status_code for answer in held if answer is not None] == [503] * 2
        assert time.monotonic() - begun < 60
    promises.healed()
    for version in ("0.1.0", "9.0.0", "9.1.0"):
        await promises.publish_again(fresh.http, "hello", version)
        await promises.publish_again(small.http, "hello", version)
    await promises.are_kept(reader.http)


async def test_a_server_that_became_a_standby_is_left_for_the_new_primary(
    cluster: Cluster, promises: Promises, servers: Servers
) -> None:
    """Connections to it would stay read-only forever, so they are dropped, and publishes continue."""
    writer, reader, _ = await cluster.start_all("write", "read", "worker")
    url = cluster.registry.settings.database_url.get_secret_value()
    database = url.partition("@/")[2].partition("?")[0]
    await promises.publish(writer.http, "hello", "0.0.0")
    await servers.sql(f"ALTER DATABASE {database} SET default_transaction_read_only = on")
    await servers.sql(CUT_EVERYBODY)
    promises.tally.faults += 1
    answer = await promises.publish(writer.http, "hello", "0.1.0")
    assert answer is not None
    assert answer.status_code == 503, answer.text
    await servers.sql(f"ALTER DATABASE {database} RESET default_transaction_read_only")
    promises.healed()
    await promises.publish_again(writer.http, "hello", "0.1.0")
    await promises.are_kept(reader.http)


@asynccontextmanager
async def every_connection_taken(servers: Servers) -> AsyncIterator[None]:
    """Occupy all connections of the server, including those reserved for administrators."""
    held: list[asyncpg.Connection] = []
    try:
        with suppress(asyncpg.TooManyConnectionsError):
            while True:
                held.append(await asyncpg.connect(servers.postgres.url))
        yield
    finally:
        await asyncio.gather(*(connection.close() for connection in held))


async def test_a_full_disk_under_postgres_is_told_as_such_and_passes(
    cluster: Cluster, promises: Promises, servers: Servers
) -> None:
    """The table of versions is on a small disk that is filled: no wrong refusal, nothing half done."""
    writer, reader, _ = await cluster.start_all("write", "read", "worker")
    await promises.publish(writer.http, "hello", "0.0.0")
    url = cluster.registry.settings.database_url.get_secret_value()
    place = servers.home.data_dir / f"small-{uuid4().hex}"
    with small_disk(place, size_kib=2048, owner=servers.home.account) as disk:
        await servers.sql(f"CREATE TABLESPACE small LOCATION '{disk}'")
        await servers.sql("ALTER TABLE package_versions SET TABLESPACE small", url)
        refused = 0
        for minor in range(1, 200):
            archive = hello_archive("hello", f"0.{minor}.0", docs=random.randbytes(32_000).hex())
            answer = await promises.publish(writer.http, "hello", f"0.{minor}.0", archive=archive)
            assert is_honest(answer), answer and answer.text
            assert answer is not None
            if answer.status_code == 503:
                refused += 1
                promises.tally.faults += 1
            if refused == 3:
                break
        assert refused == 3
        await servers.sql("ALTER TABLE package_versions SET TABLESPACE pg_default", url)
        await servers.sql("DROP TABLESPACE small")
    promises.healed()
    await promises.publish_again(writer.http, "hello", "1.0.0")
    await promises.are_kept(reader.http)
