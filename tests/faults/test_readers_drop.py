"""When a publish says that readers see it, no reader that hears messages serves anything older."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator

import pytest_asyncio

from tests.fault_proxy import FaultProxy
from tests.faults.cluster import Cluster, Process
from tests.faults.conftest import MakeCluster
from tests.faults.promises import Promises, index_lines
from tests.faults.servers import Servers
from tests.stack import eventually

ROW = "readers that do not hear messages, or hear them late"
PUBLISHES = 20
"""Versions of one package, one after another."""


@pytest_asyncio.fixture
async def cluster(make_cluster: MakeCluster) -> Cluster:
    """A cluster whose readers trust their caches for a minute unless they hear of a change."""
    return await make_cluster(read_ttl_seconds=60)


@pytest_asyncio.fixture
async def proxy(servers: Servers) -> AsyncIterator[FaultProxy]:
    """A proxy between a reader and Redis."""
    async with FaultProxy.before(servers.valkey_socket).running() as running:
        yield running


async def test_what_readers_see_is_seen_by_each_of_them(cluster: Cluster, promises: Promises) -> None:
    """They are asked at once, without a refresh."""
    writer, *readers, _ = await cluster.start_all("write", "read", "read", "worker")
    seen = 0
    for minor in range(PUBLISHES):
        seen += await is_seen(promises, writer, f"0.{minor}.0", readers)
    assert seen > PUBLISHES // 2
    await promises.are_kept(readers[0].http)


async def test_a_reader_that_falls_silent_is_not_said_to_see_it(
    cluster: Cluster, promises: Promises, proxy: FaultProxy
) -> None:
    """Redis still has its connection. Only the first publish waits for it, and not for long."""
    writer, quick, _ = await cluster.start_all("write", "read", "worker")
    silent = await cluster.start("read", redis_url=f"redis://127.0.0.1:{proxy.port}/0")
    numbers = iter(range(10_000))
    readers = [quick, silent]

    async def both_hear() -> bool:  # while one reconnects, it hears nothing and publishes do not wait for it
        version = f"0.{next(numbers)}.0"
        held = [await index_lines(reader.http, "hello", query="") for reader in readers]
        has_answers = await is_seen(promises, writer, version, [])  # so that none is on its way any more
        seen = [version in await index_lines(reader.http, "hello", query="") for reader in readers]
        return has_answers and all(held) and all(seen)  # only a message makes a reader drop its copy

    await eventually(both_hear)
    proxy.freeze()
    promises.tally.faults += 1
    waits_s = []
    for _ in range(2):
        begun = time.monotonic()
        assert not await is_seen(promises, writer, f"0.{next(numbers)}.0", readers)
        waits_s.append(time.monotonic() - begun)
    assert waits_s[1] < waits_s[0]
    promises.healed()
    await eventually(both_hear)
    await promises.are_kept(quick.http)


async def is_seen(promises: Promises, writer: Process, version: str, readers: list[Process]) -> bool:
    """True if the publish claims to be visible. Fails if it does so and a reader does not have it."""
    answer = await promises.publish(writer.http, "hello", version)
    assert answer is not None
    assert answer.status_code == 200, answer.text
    listed = [version in await index_lines(reader.http, "hello", query="") for reader in readers]
    said = answer.headers["x-x07-index-published"] == "true"
    assert all(listed) or not said, listed
    return said
