"""Collection of staged bytes: orphans go, what a version waits for stays, also under publishes."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from indexer.collection import collect_staging, remove_unfinished
from shared.blobs import CATALOG_KEY, CONFIG_KEY, staging_key
from shared.settings import Settings
from tests.archives import hello_archive
from tests.conftest import MakeSettings
from tests.indexer.walks import kinds, overwrite, settle
from tests.stack import Registry, running_registry
from worker.settings import open_parts

ORPHAN = staging_key("ab" * 32)


async def collected(registry: Registry, older_than_s: float) -> list[str]:
    """The keys that a collection removed."""
    async with open_parts(registry.settings) as parts:
        removed = [item async for item in collect_staging(parts, older_than_s)]
    return [item.key for item in removed if item is not None]


async def test_an_orphan_goes_when_it_is_old_and_a_waiting_archive_never(
    workerless_registry: Registry,
) -> None:
    """With no age at all to protect it, a version's archive still stays."""
    registry = workerless_registry
    archive = hello_archive()
    await registry.publish(archive, await registry.add_publisher())
    await overwrite(registry.storage, ORPHAN, b"left behind")
    assert await collected(registry, 86_400) == []
    assert await collected(registry, 0) == [ORPHAN]
    assert await collected(registry, 0) == []
    await settle(registry)
    assert (await registry.http.get("/v1/packages/hello/0.1.0/download")).content == archive


async def test_no_publish_is_lost_to_a_collection_that_never_rests(registry: Registry) -> None:
    """The same bytes are orphan and upload at once; a publish may be told to try again, never be lost."""
    registry_headers = await registry.add_publisher()
    is_over = asyncio.Event()

    async def collect_for_ever() -> None:
        async with open_parts(registry.settings) as parts:
            while not is_over.is_set():
                async for _ in collect_staging(parts, 0):
                    pass

    async def publish(number: int) -> bytes:
        archive = hello_archive(name=f"hello-{number}")
        async with asyncio.timeout(60):
            while (answer := await registry.publish(archive, registry_headers)).status_code == 503:
                pass
        assert answer.status_code in (200, 409), answer.text
        return archive

    collectors = [asyncio.create_task(collect_for_ever()) for _ in range(2)]
    try:
        for number in range(12):
            first, _, _ = await asyncio.gather(*(publish(number) for _ in range(3)))
            answer = await registry.http.get(f"/v1/packages/hello-{number}/0.1.0/download")
            assert answer.content == first
    finally:
        is_over.set()
        await asyncio.gather(*collectors)
    assert [item for item in await kinds(registry, deep=True) if item[0] != "orphan_staging"] == []


@pytest.mark.parametrize("name", ["upload-left", "put-left"])
async def test_unfinished_files_of_killed_processes_go(tmp_path: Path, name: str) -> None:
    """An upload that was cut off, and a blob that never got its name; a running one stays."""
    settings = Settings(data_dir=tmp_path)  # nothing runs here, so no file is anybody's but the test's
    settings.spool_dir.mkdir()
    left = settings.spool_dir / name
    left.write_bytes(b"half")
    os.utime(left, (0, 0))
    assert await remove_unfinished(settings, 3600) == 0
    assert await remove_unfinished(settings, 0) == 1
    assert not left.exists()


async def test_unpacked_modules_of_a_killed_server_go(tmp_path: Path) -> None:
    """A folder that the linter's run left behind, with what is in it."""
    settings = Settings(data_dir=tmp_path)
    modules = settings.spool_dir / "lint-abc" / "modules"
    modules.mkdir(parents=True)
    (modules / "greeting.x07.json").write_bytes(b"{}")
    assert await remove_unfinished(settings, 3600) == 0
    assert await remove_unfinished(settings, 0) == 1
    assert list(settings.spool_dir.iterdir()) == []


async def test_the_worker_collects_what_is_old_enough(make_settings: MakeSettings) -> None:
    """Nobody has to remember the command."""
    settings = await make_settings(staging_keep_seconds=0)
    async with running_registry(settings, with_worker=False) as registry:
        await overwrite(registry.storage, ORPHAN, b"left behind")
    async with running_registry(settings) as registry:
        await registry.until_keys([CATALOG_KEY, CONFIG_KEY])
