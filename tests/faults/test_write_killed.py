"""The write process is killed: no version is blocked, and no version is visible without its archive."""

from __future__ import annotations

import asyncio
import random

import pytest

from tests.faults.cluster import Cluster
from tests.faults.depth import rounds
from tests.faults.promises import Promises, nothing_stands_without_its_archive

ROW = "write process killed at each point of a publish"
POINTS = ("change:1", "after_stage", "before_commit", "after_commit")
VICTIMS = 3
VERSIONS = 6


@pytest.mark.parametrize("cluster", ["fs", "s3"], indirect=True)
async def test_a_publish_cut_off_at_any_point_can_be_made_again(cluster: Cluster, promises: Promises) -> None:
    """The retry finds nothing, staged bytes, or the whole version: it gets 200 or 409."""
    (writer, reader, _), victims = await asyncio.gather(
        cluster.start_all("write", "read", "worker"),
        asyncio.gather(*(cluster.start("write", test_stop_at=point) for point in POINTS)),
    )
    for number, victim in enumerate(victims):
        version = f"0.{number}.0"
        assert await promises.publish(victim.http, "hello", version) is None
        assert await victim.died() == "SIGKILL"
        promises.healed()
        promises.tally.faults += 1
        await nothing_stands_without_its_archive(reader.http, "hello")
        await promises.publish_again(writer.http, "hello", version)
    await promises.are_kept(reader.http)


async def test_writers_killed_at_random_moments_block_no_version(
    cluster: Cluster, promises: Promises
) -> None:
    """Each writer has several publishes in progress when it is killed."""
    (writer, reader, _), victims = await asyncio.gather(
        cluster.start_all("write", "read", "worker"), cluster.start_all(*["write"] * rounds(VICTIMS))
    )
    for number, victim in enumerate(victims):
        versions = [f"{number}.{minor}.0" for minor in range(VERSIONS)]
        under_way = [
            asyncio.create_task(promises.publish(victim.http, random.choice(["hello", "world"]), version))
            for version in versions
        ]
        await asyncio.wait(under_way, timeout=random.uniform(0.0, 0.15))
        await victim.kill()
        promises.healed()
        promises.tally.faults += 1
        await asyncio.gather(*under_way)
        for name in ("hello", "world"):
            await nothing_stands_without_its_archive(reader.http, name)
            for version in versions:
                await promises.publish_again(writer.http, name, version)
    await promises.are_kept(reader.http)
