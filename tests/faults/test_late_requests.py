"""Requests for staged uploads arrive late, and `gc` is killed or paused between its steps."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest
import pytest_asyncio

from tests.deploy.forked_commands import Forked, run
from tests.faults.cluster import Cluster, Process
from tests.faults.conftest import MakeCluster
from tests.faults.promises import Promises
from tests.s3_proxy import Held, S3Proxy, Sent

ROW = "requests about staged uploads land late; gc dies or is paused between its steps"


@pytest_asyncio.fixture
async def cluster(make_late_cluster: MakeCluster) -> Cluster:
    """A cluster with short timeouts."""
    return await make_late_cluster(s3_timeout_seconds=0.5)


@pytest.mark.parametrize("kind", ["s3"], indirect=True)
async def test_a_late_delete_of_gc_does_not_take_the_bytes_of_a_later_publish(
    cluster: Cluster, promises: Promises, proxy: S3Proxy
) -> None:
    """The first DELETE hangs, its retry succeeds, the bytes are published, then the first DELETE arrives."""
    await stage_and_die(cluster, promises)
    held = proxy.hold_next(is_staged("DELETE"))
    await gc(cluster)
    writer, reader = await cluster.start_all("write", "read")
    assert await status_of(promises, writer) == 200
    await land(held, promises)
    await cluster.start("worker")
    await promises.are_kept(reader.http)


@pytest.mark.parametrize("kind", ["s3"], indirect=True)
async def test_a_late_put_of_a_dead_writer_does_not_disturb_a_later_publish(
    cluster: Cluster, promises: Promises, proxy: S3Proxy
) -> None:
    """It restores an upload that nobody waits for; the next garbage collection removes that."""
    held = proxy.hold_next(is_staged("PUT"))
    await stage_and_die(cluster, promises)
    await gc(cluster)
    writer, reader, _ = await cluster.start_all("write", "read", "worker")
    assert await status_of(promises, writer) == 200
    await promises.until_published()
    await land(held, promises)
    assert len(await cluster.registry.keys("staging/")) == 1
    await gc(cluster)
    assert await cluster.registry.keys("staging/") == []
    await promises.are_kept(reader.http)


@pytest.mark.parametrize("kind", ["s3"], indirect=True)
async def test_a_late_delete_of_a_worker_takes_only_what_it_has_published(
    cluster: Cluster, promises: Promises, proxy: S3Proxy
) -> None:
    """The worker removes the upload of a published version; the DELETE arrives when others are staged."""
    writer, reader = await cluster.start_all("write", "read")
    held = proxy.hold_next(is_staged("DELETE"))
    assert await status_of(promises, writer) == 200
    worker = await cluster.start("worker")
    await promises.until_published()
    await held.is_there.wait()
    await worker.kill()
    assert await status_of(promises, writer) == 409
    assert await status_of(promises, writer, "0.2.0") == 200
    await land(held, promises)
    await cluster.start("worker")
    await promises.are_kept(reader.http)


async def test_gc_that_dies_between_its_steps_leaves_what_the_next_one_removes(
    cluster: Cluster, promises: Promises
) -> None:
    """The upload is retired but not deleted; a publish of the same bytes has an upload of its own."""
    await stage_and_die(cluster, promises)
    answer = await asyncio.to_thread(
        run, "gc", "--older-than", "0", **cluster.variables(test_stop_at="after_retire")
    )
    assert answer.returncode == -9
    promises.tally.faults += 1
    promises.healed()
    [orphan] = await cluster.registry.keys("staging/")
    writer, reader = await cluster.start_all("write", "read")
    assert await status_of(promises, writer) == 200
    await gc(cluster)
    assert orphan not in await cluster.registry.keys("staging/")
    await cluster.start("worker")
    await promises.are_kept(reader.http)


async def test_gc_that_is_paused_before_its_delete_takes_nothing_from_a_later_publish(
    cluster: Cluster, promises: Promises, tmp_path: Path
) -> None:
    """It continues when the same bytes are staged and wait for a worker; it no longer holds any lock."""
    await stage_and_die(cluster, promises)
    paused = Forked(
        ["gc", "--older-than", "0"], cluster.variables(test_stop_at="pause:after_retire"), tmp_path / "gc.log"
    )
    await paused.until_paused()
    await cluster.registry.rows(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        "WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )
    writer, reader = await cluster.start_all("write", "read")
    assert await status_of(promises, writer) == 200
    paused.resume()
    promises.tally.faults += 1
    promises.healed()
    await paused.ended()
    assert len(await cluster.registry.keys("staging/")) == 1
    await cluster.start("worker")
    await promises.are_kept(reader.http)


async def stage_and_die(cluster: Cluster, promises: Promises) -> None:
    """A writer stages hello 0.1.0 and is killed."""
    victim = await cluster.start("write", test_stop_at="after_stage")
    assert await promises.publish(victim.http, "hello", "0.1.0") is None
    assert await victim.died() == "SIGKILL"
    promises.tally.faults += 1


async def gc(cluster: Cluster) -> None:
    """Remove every staged upload that nothing refers to, like the command."""
    answer = await asyncio.to_thread(run, "gc", "--older-than", "0", **cluster.variables())
    assert answer.returncode == 0, answer.stderr


async def status_of(promises: Promises, writer: Process, version: str = "0.1.0") -> int:
    """Publish a version of hello. Returns the status of the answer."""
    answer = await promises.publish(writer.http, "hello", version)
    assert answer is not None
    return answer.status_code


async def land(held: Held, promises: Promises) -> None:
    """Forward a held request to the server."""
    assert await held.let_go() < 300
    promises.tally.faults += 1
    promises.healed()


def is_staged(method: str) -> Callable[[Sent], bool]:
    """A condition that selects requests of this method for staged uploads."""
    return lambda sent: sent.method == method and "/staging/" in sent.path
