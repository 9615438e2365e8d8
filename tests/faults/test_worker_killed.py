"""Workers die, or work twice or late: within one sweep, the files are those of the rows."""

from __future__ import annotations

import asyncio
import random

import pytest
from redis.asyncio import Redis

from shared.messages import Notifier
from tests.faults.cluster import Cluster
from tests.faults.depth import rounds, some
from tests.faults.promises import Promises, nothing_stands_without_its_archive

ROW = "worker killed at each point of a publication; two workers; a job run twice, late, never"
POINTS = ("after_promote", "after_index_put", "before_published_mark", "after_published_mark")
LAST_CHANGE = 9
"""The largest number of changes in storage with which a worker publishes one version and the catalog."""
FEWEST_CHANGES = 6
"""The smallest number: small files have no variants, and an earlier worker may have done a part."""


@pytest.mark.parametrize("cluster", ["fs", "s3"], indirect=True)
async def test_a_publication_cut_off_at_any_point_is_finished_by_the_next_worker(
    cluster: Cluster, promises: Promises
) -> None:
    """Each worker continues the work of the last one; readers never see a line without its archive."""
    writer, reader = await cluster.start_all("write", "read", publish_wait_seconds=0)
    changes = [f"change:{number}" for number in range(1, LAST_CHANGE + 1)]
    certain = {*POINTS, *changes[:FEWEST_CHANGES]}
    for number, point in enumerate((*some(POINTS, 3), *some(changes, 3))):
        answer = await promises.publish(writer.http, "hello", f"0.{number}.0")
        assert answer is not None
        assert answer.status_code == 200
        await cluster.strike(point, unless=None if point in certain else promises.is_published)
        promises.tally.faults += 1
        await nothing_stands_without_its_archive(reader.http, "hello")
    promises.healed()
    await cluster.start("worker")
    await promises.are_kept(reader.http)


async def test_two_workers_on_one_package_of_which_one_dies_now_and_then(
    cluster: Cluster, promises: Promises
) -> None:
    """The files stay those of the rows, and the other worker continues."""
    writer, reader, _, victim = await cluster.start_all("write", "read", "worker", "worker")
    for number in range(rounds(3)):
        under_way = [
            asyncio.create_task(promises.publish(writer.http, "hello", f"{number}.{minor}.0"))
            for minor in range(6)
        ]
        await asyncio.wait(under_way, timeout=random.uniform(0.02, 0.3))
        await victim.kill()
        promises.healed()
        promises.tally.faults += 1
        victim = await cluster.start("worker")
        answers = await asyncio.gather(*under_way)
        assert [answer.status_code for answer in answers if answer is not None] == [200] * 6
        await nothing_stands_without_its_archive(reader.http, "hello")
    await promises.are_kept(reader.http)


async def test_wake_ups_twice_late_for_nobody_or_never(cluster: Cluster, promises: Promises) -> None:
    """The present rows are written."""
    writer, reader, _ = await cluster.start_all("write", "read", "worker")
    settings = cluster.registry.settings
    notifier = Notifier(settings)
    async with Redis.from_url(settings.redis_url.get_secret_value()) as redis:
        for minor in range(3):
            await promises.publish(writer.http, "hello", f"0.{minor}.0")
            for names in (["hello"], ["hello", "nobody"], ["hello", "hello"], ["nobody"]):
                await asyncio.gather(*map(notifier.wake_worker, names))
            promises.tally.faults += 4
        publishing = asyncio.create_task(promises.publish(writer.http, "hello", "1.0.0"))
        while not publishing.done():
            await redis.flushdb()  # this one never arrives
            await asyncio.sleep(0.005)
        promises.tally.faults += 1
        promises.healed()
        await promises.are_kept(reader.http)
    await notifier.close()
