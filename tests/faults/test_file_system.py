"""The disk of the published tree is full, read-only or torn: clear errors, and recovery afterwards."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest_asyncio

from shared.names import PackageName, shard_path
from tests.deploy.forked_commands import run
from tests.faults.cluster import Cluster
from tests.faults.conftest import MakeCluster
from tests.faults.disks import fill, remount, small_disk
from tests.faults.promises import Promises
from tests.observability.conftest import operations_url

ROW = "file system full, read-only, a torn file after a power cut"
HELLO = f"index/{shard_path(PackageName('hello'))}"
ARCHIVE = "dl/hello/0.0.0/download"


@pytest_asyncio.fixture
async def cluster(make_cluster: MakeCluster, tmp_path: Path) -> AsyncIterator[Cluster]:
    """A cluster whose tree is on a small disk."""
    with small_disk(tmp_path / "disk", size_kib=4096) as disk:
        cluster = await make_cluster(data_dir=disk)
        yield cluster
        await cluster.close()


async def test_a_full_disk_refuses_publishes_and_serves_what_it_has(
    cluster: Cluster, promises: Promises
) -> None:
    """Answers are 503 with Retry-After; acknowledged versions wait, and are published once there is space."""
    disk = cluster.registry.settings.data_dir
    writer, reader = await cluster.start_all("write", "read", publish_wait_seconds=0)
    await promises.publish(writer.http, "hello", "0.0.0")
    worker = await cluster.start("worker")
    await promises.until_published()
    await worker.kill()
    await promises.publish(writer.http, "hello", "0.1.0")
    filler = fill(disk)
    promises.tally.faults += 1
    answer = await promises.publish(writer.http, "hello", "0.2.0")
    assert answer is not None
    assert answer.status_code == 503, answer.text
    worker = await cluster.start("worker", metrics_bind="127.0.0.1:0")
    async with httpx.AsyncClient(base_url=await operations_url(worker)) as operations:
        await is_not_ready(cluster, operations)
    await is_not_ready(cluster, writer.http)
    assert (await reader.http.get(f"/{HELLO}?x07_refresh=1")).text.count("\n") == 1
    assert (await reader.http.get("/v1/packages/hello/0.0.0/download")).status_code == 200
    await worker.until_logged("publication_failed", times=2)  # two sweeps have failed on the full disk
    filler.unlink()
    assert (await writer.http.get("/readyz")).status_code == 200
    promises.healed()
    await promises.publish_again(writer.http, "hello", "0.2.0")
    await promises.are_kept(reader.http)
    assert worker.child.is_running


async def test_a_disk_that_turned_read_only_is_read_and_heals(cluster: Cluster, promises: Promises) -> None:
    """ext4 does this after an error: old and new readers still work; publishers are asked to retry."""
    disk = cluster.registry.settings.data_dir
    writer, reader, worker = await cluster.start_all("write", "read", "worker")
    await promises.publish(writer.http, "hello", "0.0.0")
    await promises.until_published()
    remount(disk, "ro")
    promises.tally.faults += 1
    answer = await promises.publish(writer.http, "hello", "0.1.0")
    assert answer is not None
    assert answer.status_code == 503, answer.text
    await is_not_ready(cluster, writer.http)
    newcomer = await cluster.start("read")
    for http in (reader.http, newcomer.http):
        assert (await http.get(f"/{HELLO}?x07_refresh=1")).text.count("\n") == 1
        assert (await http.get("/v1/packages/hello/0.0.0/download")).status_code == 200
    remount(disk, "rw")
    promises.healed()
    await promises.publish_again(writer.http, "hello", "0.1.0")
    await promises.are_kept(reader.http)
    assert worker.child.is_running


async def test_torn_files_are_no_answers_and_verify_and_repair_find_and_mend_them(
    cluster: Cluster, promises: Promises, tmp_path: Path
) -> None:
    """An archive and an index file are truncated, and a metadata document is missing."""
    tree = cluster.registry.settings.data_dir
    writer, _ = await cluster.start_all("write", "worker")
    await promises.publish(writer.http, "hello", "0.0.0")
    await promises.until_published()
    mirror = tmp_path / "mirror"
    (mirror / ARCHIVE).parent.mkdir(parents=True)
    (mirror / ARCHIVE).write_bytes((tree / ARCHIVE).read_bytes())
    for key in (ARCHIVE, HELLO):
        os.truncate(tree / key, (tree / key).stat().st_size // 2)
    (tree / "dl/hello/0.0.0/metadata").unlink()
    promises.tally.faults += 3
    newcomer = await cluster.start("read")
    for path in (f"/{HELLO}", "/v1/packages/hello/0.0.0/download"):
        answer = await newcomer.http.get(path)
        assert (answer.status_code, answer.json()["code"]) == (500, "X07REG_STORAGE")
    found = await command(cluster, "verify")
    assert found[0] == 1
    for key in (ARCHIVE, HELLO, "dl/hello/0.0.0/metadata"):
        assert key in found[1]
    promises.healed()
    mended = await command(cluster, "repair", "--from", str(mirror))
    assert mended[0] == 0, mended[1]
    assert (await command(cluster, "verify", "--deep"))[0] == 0
    await promises.are_kept(newcomer.http)


async def is_not_ready(cluster: Cluster, http: httpx.AsyncClient) -> None:
    """The process and the doctor try a write like that of a publish, and report its failure."""
    ready = await http.get("/readyz")
    assert (ready.status_code, ready.json()["dependencies"]["storage"]["ok"]) == (503, False), ready.text
    status, said = await command(cluster, "doctor")
    assert status == 1
    assert re.search("failed  storage +upload of a probe: .*(No space left|Read-only file system)", said), (
        said
    )


async def command(cluster: Cluster, *arguments: str) -> tuple[int, str]:
    """Run a command of the registry. Returns its exit status and output."""
    answer = await asyncio.to_thread(run, *arguments, **cluster.variables())
    return answer.returncode, answer.stdout + answer.stderr
