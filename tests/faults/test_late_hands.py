"""Workers are paused, cut off or killed at any step of a publication, and their requests arrive late."""

from __future__ import annotations

import asyncio
import os
from functools import partial
from pathlib import Path
from typing import Final, Literal

import pytest
import pytest_asyncio

from shared.blobs import archive_key, index_key, metadata_key
from shared.names import PackageName
from shared.stop_points import stop_here
from shared.versions import VersionText
from tests.deploy.forked_commands import Forked
from tests.faults.cluster import Cluster, Process
from tests.faults.conftest import MakeCluster
from tests.faults.depth import some
from tests.faults.promises import Promises, index_lines
from tests.faults.watching import watching
from tests.s3_proxy import S3Proxy, Sent
from tests.stack import eventually

pytestmark = pytest.mark.long

ROW = "worker paused, cut off or killed at each step; its requests land late"

Ending = Literal["goes on", "is killed"]
POINTS: Final = (
    "after_look",
    "after_promote",
    "after_index_put",
    "before_published_mark",
    "after_published_mark",
)
HELLO, SECOND = PackageName("hello"), VersionText("0.2.0")
TARGETS: Final = {
    "index file": index_key(HELLO),
    "metadata": metadata_key(HELLO, SECOND),
    "archive": archive_key(HELLO, SECOND),
}
# The timeout of every process: Postgres ends a transaction that is idle for twice this long.
TIMEOUTS: Final = {"database_timeout_seconds": 1.5, "s3_timeout_seconds": 1.0}
# Longer than that, than all attempts of a request (some 5 s), and than the interval of sweeps.
PAUSE_S: Final = 8.0
CUT = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE datname = current_database() AND state LIKE 'idle in transaction%'
"""


@pytest_asyncio.fixture
async def cluster(make_late_cluster: MakeCluster) -> Cluster:
    """A cluster with short timeouts."""
    return await make_late_cluster(**TIMEOUTS)


async def test_a_worker_that_is_paused_for_longer_than_every_timeout_changes_nothing(
    cluster: Cluster, promises: Promises
) -> None:
    """The worker is paused at each step, and then continues or is killed.

    Its lock is lost meanwhile, others publish newer versions, and other packages never wait.
    """
    writer, reader = await cluster.start_all("write", "read")
    cases = [(point, ending) for point in POINTS for ending in ("goes on", "is killed")]
    for number, (point, ending) in enumerate(some(cases, 2)):
        name = f"hello{number}"
        await published(promises, writer, name, "0.1.0")
        victim = await cluster.start("worker", test_stop_at=f"pause:{point}")
        command = await paused(victim)
        promises.tally.faults += 1
        pause = asyncio.create_task(asyncio.sleep(PAUSE_S))
        healthy = await cluster.start("worker")
        async with watching(reader, name):
            await published(promises, writer, f"other-{name}", "0.1.0")
            await published(promises, writer, name, "0.2.0")
            await promises.until_published()
            await pause
            promises.healed()
            if ending == "goes on":
                command.resume()
                await victim.until_logged(
                    "package_published" if point == "after_published_mark" else "failed"
                )
            else:
                await victim.kill()
            await published(promises, writer, name, "0.3.0")
            await promises.until_published()
        await victim.kill()
        await promises.are_kept(reader.http)
        await healthy.kill()


async def test_a_worker_whose_connection_is_ended_changes_nothing(
    cluster: Cluster, promises: Promises
) -> None:
    """Postgres ends the connection at each step at which the worker holds a lock."""
    writer, reader = await cluster.start_all("write", "read")
    for number, point in enumerate(some(POINTS[:-1], 2)):
        name = f"hello{number}"
        await published(promises, writer, name, "0.1.0")
        victim = await cluster.start("worker", test_stop_at=f"pause:{point}", database_timeout_seconds=5)
        command = await paused(victim)
        await eventually(lambda: cluster.registry.rows(CUT))
        promises.tally.faults += 1
        healthy = await cluster.start("worker")
        await published(promises, writer, name, "0.2.0")
        await promises.until_published()
        command.resume()
        promises.healed()
        await victim.until_logged("failed")
        await promises.are_kept(reader.http)
        await victim.kill()
        await healthy.kill()


@pytest.mark.parametrize("kind", ["s3"], indirect=True)
@pytest.mark.parametrize("target", TARGETS)
async def test_a_put_that_lands_after_its_worker_was_killed_changes_nothing(
    cluster: Cluster, promises: Promises, proxy: S3Proxy, target: str
) -> None:
    """This holds for every kind of file: another worker has published a newer one meanwhile."""
    writer, reader, first = await cluster.start_all("write", "read", "worker")
    await published(promises, writer, "hello", "0.1.0")
    await promises.until_published()
    await first.kill()
    await published(promises, writer, "hello", "0.2.0")
    held = proxy.hold_next(lambda sent: is_put(sent, TARGETS[target]))
    # The client must not give up and retry before it is killed.
    victim = await cluster.start("worker", s3_timeout_seconds=60)
    await held.is_there.wait()
    await victim.kill()
    promises.tally.faults += 1
    await cluster.start("worker")
    async with watching(reader, "hello"):
        await published(promises, writer, "hello", "0.3.0")
        await promises.until_published()
        promises.healed()
        # The staged archive, which is the source of the copy, has been deleted.
        assert await held.let_go() == (404 if target == "archive" else 412)
        await promises.are_kept(reader.http)


@pytest.mark.parametrize("kind", ["fs"], indirect=True)
@pytest.mark.parametrize("ending", ["goes on", "is killed"])
async def test_a_worker_that_is_held_between_comparison_and_rename_changes_nothing(
    cluster: Cluster, promises: Promises, ending: Ending
) -> None:
    """The file system's lock keeps others from the file until the worker continues or dies.

    It has lost its database lock long before. Other packages are published meanwhile.
    """
    writer, reader, first = await cluster.start_all("write", "read", "worker")
    await published(promises, writer, "hello", "0.1.0")
    await promises.until_published()
    await first.kill()
    await published(promises, writer, "hello", "0.2.0")
    victim = await cluster.start("worker", launch=partial(Forked, prepare=stop_before_rename))
    command = await paused(victim)
    promises.tally.faults += 1
    healthy = await cluster.start("worker")
    async with watching(reader, "hello"):
        await published(promises, writer, "hello", "0.3.0")
        await published(promises, writer, "other", "0.1.0")
        await eventually(lambda: index_lines(reader.http, "other"))
        await healthy.until_logged("does not finish replacing")
        promises.healed()
        if ending == "goes on":
            command.resume()
        else:
            await victim.kill()
        await promises.are_kept(reader.http)


def stop_before_rename() -> None:
    """Make this process stop itself, once, before it renames hello's index file."""
    rename, stopped = os.rename, set[str]()

    def rename_late(source: str | Path, target: str | Path) -> None:
        if str(target).endswith(TARGETS["index file"]) and not stopped:
            stopped.add(target)
            stop_here()
        rename(source, target)

    os.rename = rename_late  # type: ignore[assignment]


async def paused(process: Process) -> Forked:
    """Start a process's command, and wait until it has stopped itself."""
    assert isinstance(process.child, Forked)
    await process.child.until_paused()
    return process.child


async def published(promises: Promises, writer: Process, name: str, version: str) -> None:
    """Publish a version, which is acknowledged at once."""
    answer = await promises.publish(writer.http, name, version)
    assert answer is not None
    assert answer.status_code == 200, answer.text


def is_put(sent: Sent, key: str) -> bool:
    """True for a request that writes the object."""
    return sent.method == "PUT" and sent.path.endswith(f"/{key}")
