"""Redis is emptied, restarted, away, silent or full: changes are visible later, but no publish fails."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from httpx import AsyncClient
from redis.asyncio import Redis

from tests.fault_proxy import FaultProxy, Hang
from tests.faults.cluster import Cluster
from tests.faults.conftest import MakeCluster
from tests.faults.depth import IS_SOAK
from tests.faults.promises import Promises, index_lines
from tests.faults.servers import Servers
from tests.faults.tally import Tally
from tests.stack import eventually

ROW = "Redis emptied, restarted, away for a minute, full"
AWAY_S = 60.0 if IS_SOAK else 2.0

Fault = Callable[[Servers], Awaitable[None]]


async def emptied(servers: Servers) -> None:
    """All of its data is gone, including jobs."""
    await servers.empty_valkey()


async def restarted(servers: Servers) -> None:
    """It is killed, which breaks every connection, and started again."""
    await servers.valkey.stop()
    await servers.valkey.start()


@asynccontextmanager
async def full(servers: Servers) -> AsyncIterator[None]:
    """Commands that need memory fail."""
    async with Redis.from_url(servers.valkey.url) as redis:
        await redis.config_set("maxmemory-policy", "noeviction")
        await redis.config_set("maxmemory", "1")
        try:
            yield
        finally:
            await redis.config_set("maxmemory", "0")


@asynccontextmanager
async def away(servers: Servers) -> AsyncIterator[None]:
    """Nothing listens at its address."""
    await servers.valkey.stop()
    try:
        yield
    finally:
        await servers.valkey.start()


@pytest.mark.parametrize("fault", [emptied, restarted])
async def test_what_redis_loses_the_sweep_finds(
    cluster: Cluster, promises: Promises, servers: Servers, fault: Fault
) -> None:
    """Publishes continue meanwhile; after the sweep at the latest, all of them are visible."""
    writer, reader, _ = await cluster.start_all("write", "read", "worker")
    for minor in range(4):
        publishing = asyncio.create_task(promises.publish(writer.http, "hello", f"0.{minor}.0"))
        await fault(servers)
        promises.healed()
        promises.tally.faults += 1
        answer = await publishing
        assert answer is not None
        assert answer.status_code == 200
    await promises.are_kept(reader.http)
    await is_announced_again(promises, writer.http, reader.http)


@pytest.mark.parametrize("fault", [away, full])
async def test_without_redis_publishes_succeed_and_are_visible_within_the_sweep(
    cluster: Cluster, promises: Promises, servers: Servers, fault: Callable[[Servers], object]
) -> None:
    """This includes processes that ran before; readers see changes within their time-to-live."""
    writer, reader, _ = await cluster.start_all("write", "read", "worker")
    assert await promises.publish(writer.http, "hello", "0.0.0") is not None
    async with fault(servers):
        promises.tally.faults += 1
        for minor in range(1, 4):
            answer = await promises.publish(writer.http, "hello", f"0.{minor}.0")
            assert answer is not None
            assert answer.status_code == 200
            assert answer.headers["x-x07-index-published"] == "true", "the sweep is every half a second"
        await asyncio.sleep(AWAY_S)  # Redis is away for all of it, so that late failures happen too
        promises.healed()  # Redis is still away: this measures the sweep alone
        await promises.are_kept(reader.http)
    await is_announced_again(promises, writer.http, reader.http)


async def test_a_redis_that_falls_silent_is_left_and_found_again(
    make_cluster: MakeCluster, servers: Servers, tally: Tally
) -> None:
    """The connection exists but nothing arrives: listeners notice it, and publishers do not wait."""
    async with FaultProxy.before(servers.valkey_socket).running() as proxy:
        cluster = await make_cluster(
            redis_url=f"redis://127.0.0.1:{proxy.port}/0", read_ttl_seconds=60, publish_wait_seconds=5
        )
        promises = Promises(cluster, tally, await cluster.registry.add_publisher())
        writer, reader, _ = await cluster.start_all("write", "read", "worker")
        await promises.publish(writer.http, "world", "0.0.0")
        assert "0.0.0" in await index_lines(reader.http, "world", query="")
        proxy.freeze()
        proxy.inject(Hang())
        promises.tally.faults += 1
        for minor in range(1, 3):
            answer = await promises.publish(writer.http, "hello", f"0.{minor}.0")
            assert answer is not None
            assert answer.status_code == 200
        proxy.heal()
        promises.healed()
        await promises.are_kept(reader.http)
        await is_announced_again(promises, writer.http, reader.http)


async def is_announced_again(promises: Promises, writer: AsyncClient, reader: AsyncClient) -> None:
    """Wait until messages make new publishes visible to readers that trust their caches for long.

    The listeners reconnect by themselves, some time after Redis is back.
    """
    numbers = iter(range(10_000))

    async def is_heard() -> bool:
        version = f"9.{next(numbers)}.0"
        await promises.publish(writer, "world", version)
        return version in await index_lines(reader, "world", query="")

    await eventually(is_heard)
