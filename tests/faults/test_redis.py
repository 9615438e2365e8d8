"""Redis is emptied, restarted, away, silent or full: it costs time, never a publish."""

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
    """Everything in it is gone: jobs, and whatever else."""
    await servers.empty_valkey()


async def restarted(servers: Servers) -> None:
    """Killed, so that every connection breaks, and started again."""
    await servers.valkey.stop()
    await servers.valkey.start()


@asynccontextmanager
async def full(servers: Servers) -> AsyncIterator[None]:
    """No command that needs memory works."""
    async with Redis.from_url(servers.valkey.url) as redis:
        await redis.config_set("maxmemory-policy", "noeviction")
        await redis.config_set("maxmemory", "1")
        try:
            yield
        finally:
            await redis.config_set("maxmemory", "0")


@asynccontextmanager
async def away(servers: Servers) -> AsyncIterator[None]:
    """Nobody listens."""
    await servers.valkey.stop()
    try:
        yield
    finally:
        await servers.valkey.start()


@pytest.mark.parametrize("fault", [emptied, restarted])
async def test_what_redis_loses_the_sweep_finds(
    cluster: Cluster, promises: Promises, servers: Servers, fault: Fault
) -> None:
    """Publishes go on while it happens; all of them are visible, at the latest after the sweep."""
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
    """Also what was running before; readers see it within their time-to-live."""
    writer, reader, _ = await cluster.start_all("write", "read", "worker")
    assert await promises.publish(writer.http, "hello", "0.0.0") is not None
    async with fault(servers):
        promises.tally.faults += 1
        for minor in range(1, 4):
            answer = await promises.publish(writer.http, "hello", f"0.{minor}.0")
            assert answer is not None
            assert answer.status_code == 200
            assert answer.headers["x-x07-index-published"] == "true", "the sweep is every half a second"
        await asyncio.sleep(AWAY_S)  # all of it is spent without Redis: what breaks only later, breaks
        promises.healed()  # it is still away: this is what the sweep alone takes
        await promises.are_kept(reader.http)
    await is_announced_again(promises, writer.http, reader.http)


async def test_a_redis_that_falls_silent_is_left_and_found_again(
    make_cluster: MakeCluster, servers: Servers, tally: Tally
) -> None:
    """The connection stands and nothing comes: listeners notice, publishers do not wait for it."""
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
    """Wait until readers see what is published now; where they trust their cache for long, by a message.

    The listeners connect again by themselves, some time after Redis is back.
    """
    numbers = iter(range(10_000))

    async def is_heard() -> bool:
        version = f"9.{next(numbers)}.0"
        await promises.publish(writer, "world", version)
        return version in await index_lines(reader, "world", query="")

    await eventually(is_heard, 20)
