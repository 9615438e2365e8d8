"""Garbage collection removes orphans from staging and keeps what a version needs, even during publishes."""

from __future__ import annotations

import asyncio
import hashlib
import os
from pathlib import Path

import pytest

from api.write.archive.check import check_archive
from api.write.principal import Principal
from api.write.publish_commit import Acceptance, Candidate
from indexer.upkeep.staging_gc import collect_staging, remove_unfinished
from shared.blobs import CATALOG_KEY, CONFIG_KEY, new_upload_id, staging_key
from shared.errors import StorageUnavailable
from shared.settings import Settings
from tests.archives import hello_archive
from tests.conftest import MakeSettings
from tests.indexer.upkeep.walks import kinds, overwrite, settle
from tests.stack import Registry, running_registry
from worker.process import open_parts

ORPHANS = [staging_key("ab" * 32, None), staging_key("ab" * 32, "cd" * 16)]
OLDER_RELEASE = """
UPDATE version_state s SET upload_id = NULL FROM package_versions v
WHERE v.package_id = s.package_id RETURNING v.cksum
"""


async def collected(registry: Registry, older_than_s: float) -> list[str]:
    """The keys that a collection removed."""
    async with open_parts(registry.settings) as parts:
        removed = [item async for item in collect_staging(parts, older_than_s)]
    return [item.key for item in removed if item is not None]


async def test_an_orphan_goes_when_it_is_old_and_a_waiting_archive_never(
    workerless_registry: Registry,
) -> None:
    """A version's archive stays even if orphans of any age are collected."""
    registry = workerless_registry
    archive = hello_archive()
    await registry.publish(archive, await registry.add_publisher())
    for orphan in ORPHANS:
        await overwrite(registry.storage, orphan, b"left behind")
    assert await collected(registry, 86_400) == []
    assert sorted(await collected(registry, 0)) == ORPHANS
    assert await collected(registry, 0) == []
    await settle(registry)
    assert (await registry.http.get("/v1/packages/hello/0.1.0/download")).content == archive


async def test_what_an_older_release_staged_waits_for_its_publication(workerless_registry: Registry) -> None:
    """Its key is its checksum alone; the worker finds it there, and garbage collection keeps it."""
    registry = workerless_registry
    archive = hello_archive()
    await registry.publish(archive, await registry.add_publisher())
    [staged] = await registry.keys("staging/")
    [row] = await registry.rows(OLDER_RELEASE)
    older = staging_key(row.cksum, None)
    assert await registry.storage.copy(staged, older)
    await registry.storage.delete(staged)
    assert await collected(registry, 0) == []
    await settle(registry)
    assert (await registry.http.get("/v1/packages/hello/0.1.0/download")).content == archive
    assert await registry.keys("staging/") == []


async def test_a_publish_whose_upload_was_collected_is_told_to_come_again(
    workerless_registry: Registry, tmp_path: Path
) -> None:
    """This holds even if a late PUT restored the upload, because a DELETE may still be in progress."""
    registry = workerless_registry
    user_id = await registry.add_user("alice")
    caller = Principal(user_id, "alice", None, ("publish",), email_verified=True)
    archive = hello_archive()
    sha256, upload_id = hashlib.sha256(archive).hexdigest(), new_upload_id()
    await overwrite(registry.storage, staging_key(sha256, upload_id), archive)
    assert await collected(registry, 0) == [staging_key(sha256, upload_id)]
    await overwrite(registry.storage, staging_key(sha256, upload_id), archive)
    commit = Acceptance(registry.settings, registry.database)
    upload = tmp_path / "upload"
    upload.write_bytes(archive)
    checked = check_archive(upload, allowed_hosts=[], allowed_buckets=[])
    again = Candidate(caller, checked, sha256, new_upload_id())
    asked = await commit.ask(again)
    with pytest.raises(StorageUnavailable):
        await commit.accept(Candidate(caller, checked, sha256, upload_id), asked)
    assert (await commit.accept(again, asked)).generation == 1
    await commit.close()


async def test_no_publish_is_lost_to_a_collection_that_never_rests(registry: Registry) -> None:
    """The same bytes are an orphan and an upload at once; a publish may have to retry, but is never lost."""
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
    """An interrupted upload and a blob that never got its name are removed; a running upload stays."""
    settings = Settings(data_dir=tmp_path)  # no other process runs here, so all files are the test's
    settings.spool_dir.mkdir()
    left = settings.spool_dir / name
    left.write_bytes(b"half")
    os.utime(left, (0, 0))
    assert await remove_unfinished(settings, 3600) == 0
    assert await remove_unfinished(settings, 0) == 1
    assert not left.exists()


async def test_unpacked_modules_of_a_killed_server_go(tmp_path: Path) -> None:
    """A run of the linter left a folder with files."""
    settings = Settings(data_dir=tmp_path)
    modules = settings.spool_dir / "lint-abc" / "modules"
    modules.mkdir(parents=True)
    (modules / "greeting.x07.json").write_bytes(b"{}")
    assert await remove_unfinished(settings, 3600) == 0
    assert await remove_unfinished(settings, 0) == 1
    assert list(settings.spool_dir.iterdir()) == []


async def test_the_worker_collects_what_is_old_enough(make_settings: MakeSettings) -> None:
    """Nobody has to run the command."""
    settings = await make_settings(staging_keep_seconds=0)
    async with running_registry(settings, with_worker=False) as registry:
        for orphan in ORPHANS:
            await overwrite(registry.storage, orphan, b"left behind")
    async with running_registry(settings) as registry:
        await registry.until_keys([CATALOG_KEY, CONFIG_KEY])
