"""Workers die while an edge is to be purged: every change is purged, after readers have it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest_asyncio

from tests.faults.cluster import Cluster
from tests.faults.conftest import MakeCluster
from tests.faults.depth import some
from tests.faults.promises import RECOVERY_DEADLINE_S, Promises
from tests.faults.tally import Tally
from tests.receiver import Receiver
from tests.stack import eventually, serving

ROW = "purges: worker killed before and after each one"
POINTS = ("before_published_mark", "after_published_mark", "after_pages_put", "before_purge", "after_purge")
LEASES_END = "UPDATE edge_purges SET due_at = now() RETURNING 1"


@pytest_asyncio.fixture
async def edge() -> AsyncIterator[Receiver]:
    """An edge that takes purges."""
    edge = Receiver()
    async with serving(edge.app) as edge.url:
        yield edge


@pytest_asyncio.fixture
async def cluster(make_cluster: MakeCluster, edge: Receiver) -> Cluster:
    """A cluster without processes, whose workers purge the edge."""
    template = f"{edge.url}/{{key}}"
    return await make_cluster(publish_wait_seconds=0, purge="url-template", purge_urls=template, pages="on")


async def test_no_purge_is_lost_whoever_dies(
    cluster: Cluster, promises: Promises, edge: Receiver, tally: Tally
) -> None:
    """Each package, and its pages, are purged at least twice, once no worker dies any more."""
    writer = await cluster.start("write")
    names = []
    for number, point in enumerate(some(POINTS, 2)):
        names.append(f"hello{number}")
        await promises.publish(writer.http, names[-1], "0.1.0")
        await cluster.strike(point)
        tally.faults += 1
        await cluster.registry.rows(LEASES_END)  # instead of waiting for half a minute
    promises.healed()
    await cluster.start("worker")
    await promises.until_recovered()

    async def is_done() -> bool:
        return not await cluster.registry.rows(
            "SELECT 1 FROM edge_purges UNION ALL SELECT 1 FROM page_changes"
        )

    await eventually(is_done, RECOVERY_DEADLINE_S)
    for key in (f"/{kind}/{name}" for kind in ("package", "pages") for name in names):
        tally.lost += edge.paths.count(key) < 2
    assert tally.lost == 0
