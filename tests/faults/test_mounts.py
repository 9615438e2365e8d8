"""A folder of the tree is a mount or a link of its own: publication cannot work, and all processes say so."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.deploy.forked_commands import run
from tests.faults.cluster import Cluster
from tests.faults.disks import small_disk

WRITE = ("serve", "write", "--bind", "127.0.0.1:0")
READ = ("serve", "read", "--bind", "127.0.0.1:0")
WORKER = ("worker",)
UP = ("up", "--bind", "127.0.0.1:0")


async def said_by(cluster: Cluster, *arguments: str) -> tuple[int, str]:
    """Exit status of a command of the registry, and its last line."""
    answer = await asyncio.to_thread(run, *arguments, **cluster.variables())
    return answer.returncode, (answer.stdout + answer.stderr).splitlines()[-1]


@pytest.mark.parametrize("folder", ["index", "dl", "staging"])
async def test_writers_do_not_start_over_a_folder_that_is_a_mount(cluster: Cluster, folder: str) -> None:
    """A publish would answer 200 and never be visible. Readers may have such a tree."""
    tree = cluster.registry.settings.data_dir
    with small_disk(tree / folder, size_kib=64):
        for command in (WRITE, WORKER, UP):
            assert await said_by(cluster, *command) == (
                1,
                f"x07-registry: X07_REGISTRY_DATA_DIR: {tree}/{folder} is a mount of its own; "
                f"mount the whole of {tree} instead",
            )
        await cluster.start("read")


async def test_nobody_starts_over_a_folder_that_is_a_link(cluster: Cluster, tmp_path: Path) -> None:
    """A link inside the tree works like a folder."""
    tree = cluster.registry.settings.data_dir
    (tmp_path / "elsewhere").mkdir()
    (tree / "dl").symlink_to(tmp_path / "elsewhere")
    for command in (WRITE, READ, WORKER):
        status, said = await said_by(cluster, *command)
        assert (status, "is a link that leads out of" in said) == (1, True), said
    (tree / "dl").unlink()
    (tree / "archives").mkdir()
    (tree / "dl").symlink_to("archives")
    await cluster.start_all("write", "worker")


async def test_a_mount_that_comes_later_is_told_by_readiness_and_doctor(cluster: Cluster) -> None:
    """Somebody mounts a disk for the index while the registry runs."""
    tree = cluster.registry.settings.data_dir
    writer = await cluster.start("write")
    assert (await writer.http.get("/readyz")).status_code == 200
    with small_disk(tree / "index", size_kib=64):
        ready = await writer.http.get("/readyz")
        assert (ready.status_code, ready.json()["dependencies"]["storage"]["ok"]) == (503, False)
        answer = await asyncio.to_thread(run, "doctor", **cluster.variables())
        assert answer.returncode == 1
        assert f"{tree}/index is a mount of its own" in answer.stdout
    assert (await writer.http.get("/readyz")).status_code == 200
