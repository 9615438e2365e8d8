"""Repair restores everything that the rows prove, byte for byte, and changes nothing else."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from api.write.app import open_services
from api.write.principal import Principal
from api.write.removal import remove_version
from indexer.upkeep.repair import Repair
from indexer.upkeep.verification import Verification
from shared.blobs import CATALOG_KEY, CONFIG_KEY, archive_key, index_key, metadata_key, staging_key
from shared.names import PackageName
from shared.storage.filesystem import FileSystemStorage
from shared.storage.interface import Missing, Opened, Storage
from shared.versions import VersionText
from tests.archives import hello_archive
from tests.indexer.upkeep.walks import (
    DAY_S,
    Silent,
    body_of,
    everything,
    kinds,
    overwrite,
    repaired,
    settle,
)
from tests.stack import Registry
from worker.process import open_parts

HELLO, WORLD = PackageName("hello"), PackageName("hello-world")
FIRST = VersionText("0.1.0")


async def test_everything_that_is_rendered_is_restored_to_the_same_bytes(settled: Registry) -> None:
    """Missing or overwritten index files, metadata, variants, catalog and configuration are restored."""
    before = await everything(settled.storage)
    for key in (index_key(HELLO), metadata_key(HELLO, FIRST), CATALOG_KEY):
        await settled.storage.delete(key)
    for key in (index_key(WORLD), CONFIG_KEY):
        await overwrite(settled.storage, key, b"other bytes\n")
    assert len(await kinds(settled)) == 5
    outcomes = await repaired(settled)
    assert all(outcome.is_mended for outcome in outcomes)
    assert await everything(settled.storage) == before
    assert await repaired(settled) == []


@pytest.mark.parametrize("upload_id", ["cd" * 16, None], ids=["an upload", "of an older release"])
async def test_an_archive_comes_back_from_staging_or_from_another_tree(
    settled: Registry, tmp_path: Path, upload_id: str | None
) -> None:
    """Its checksum proves that it is right; a copy with other bytes is ignored."""
    key = archive_key(HELLO, FIRST)
    archive = await body_of(settled.storage, key)
    staged = staging_key(hashlib.sha256(archive).hexdigest(), upload_id)
    await overwrite(settled.storage, staged, archive)
    await settled.storage.delete(key)
    assert [outcome.is_mended for outcome in await repaired(settled)] == [True]
    assert await body_of(settled.storage, key) == archive

    await settled.storage.delete(staged)
    await overwrite(settled.storage, key, b"rotten")
    copies = FileSystemStorage(tmp_path / "mirror")
    await overwrite(copies, key, b"not it either")
    assert [outcome.is_mended for outcome in await repaired(settled, copies=copies)] == [False]
    assert await body_of(settled.storage, key) == b"rotten"
    await overwrite(copies, key, archive)
    assert [outcome.is_mended for outcome in await repaired(settled, copies=copies)] == [True]
    assert await body_of(settled.storage, key) == archive
    await copies.close()


async def test_an_archive_that_is_lost_is_told_and_the_rest_is_mended(settled: Registry) -> None:
    """The version stays listed, and its archive stays missing."""
    await settled.storage.delete(archive_key(HELLO, FIRST))
    await settled.storage.delete(index_key(HELLO))
    outcomes = {outcome.difference.key: outcome for outcome in await repaired(settled)}
    assert outcomes[index_key(HELLO)].is_mended
    assert not outcomes[archive_key(HELLO, FIRST)].is_mended
    assert "--from" in outcomes[archive_key(HELLO, FIRST)].action
    assert await kinds(settled) == [("missing", archive_key(HELLO, FIRST))]


async def test_what_no_worker_published_is_published(workerless_registry: Registry) -> None:
    """Repair needs no running worker."""
    await workerless_registry.publish(hello_archive(), await workerless_registry.add_publisher())
    assert all(outcome.is_mended for outcome in await repaired(workerless_registry))
    assert await kinds(workerless_registry) == []


async def test_a_staged_archive_that_is_lost_comes_back_from_another_tree(
    workerless_registry: Registry, tmp_path: Path
) -> None:
    """Without it, the package could never be published."""
    archive = hello_archive()
    await workerless_registry.publish(archive, await workerless_registry.add_publisher())
    [staged] = await workerless_registry.keys("staging/")
    await workerless_registry.storage.delete(staged)
    assert any(not outcome.is_mended for outcome in await repaired(workerless_registry))
    copies = FileSystemStorage(tmp_path / "mirror")
    await overwrite(copies, archive_key(HELLO, FIRST), archive)
    assert all(outcome.is_mended for outcome in await repaired(workerless_registry, copies=copies))
    assert await kinds(workerless_registry) == []
    assert (await workerless_registry.http.get("/v1/packages/hello/0.1.0/download")).content == archive
    await copies.close()


async def test_an_archive_without_a_row_stays_and_rendered_leftovers_go(settled: Registry) -> None:
    """The older server left such archives and serves them, but an index file without rows misleads."""
    kept = ["dl/hello/9.9.9/download", "dl/readme"]
    removed = ["dl/hello/9.9.9/metadata", "index/no/bo/nobody", "index/no/bo/nobody.zst"]
    for key in kept + removed:
        await overwrite(settled.storage, key, b"x")
    outcomes = {outcome.difference.key: outcome.is_mended for outcome in await repaired(settled)}
    assert outcomes == dict.fromkeys(kept, False) | dict.fromkeys(removed, True)
    assert set(kept) <= set(await settled.keys())
    assert not set(removed) & set(await settled.keys())


async def test_an_archive_that_was_removed_for_legal_reasons_does_not_come_back(settled: Registry) -> None:
    """An older copy of the bucket may restore it; the tombstone says that it must be deleted."""
    key = "dl/hello/9.9.9/download"
    await overwrite(settled.storage, key, b"what a court forbade")
    await settled.rows(
        "INSERT INTO version_tombstones (package_id, version, cksum, reason) "
        "SELECT id, '9.9.9', repeat('0', 64), 'court' FROM packages WHERE name = 'hello' RETURNING 1"
    )
    assert [outcome.is_mended for outcome in await repaired(settled)] == [True]
    assert key not in await settled.keys()
    assert await kinds(settled) == []


class Watched:
    """A wrapper of storage that records which blobs are put from files."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self.put_from_files: list[str] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._storage, name)

    async def put_file(self, key: str, path: Path, **described: Any) -> bool:
        """Put the file, and record its key if the conditions hold."""
        is_put = await self._storage.put_file(key, path, **described)
        self.put_from_files += [key] * is_put
        return is_put


class RemovedMeanwhile(FileSystemStorage):
    """A tree of copies. The first time a copy is read, an operator removes hello 0.1.0 for legal reasons."""

    registry: Registry
    is_removed = False

    @asynccontextmanager
    async def open(
        self, key: str, *, start: int = 0, end: int | None = None
    ) -> AsyncIterator[Opened | Missing]:
        """Remove the version and publish that, then read the copy."""
        if not self.is_removed:
            self.is_removed = True
            admin = Principal(await self.registry.add_user("root"), "root", None, ("admin",), True)
            async with open_services(self.registry.settings) as services:
                await remove_version(services, admin, HELLO, FIRST, "court order")
            await settle(self.registry)
        async with super().open(key, start=start, end=end) as opened:
            yield opened


async def test_an_archive_that_is_removed_during_its_repair_does_not_come_back(
    settled: Registry, tmp_path: Path
) -> None:
    """The copy has the checksum that the row had when the repair read it."""
    key = archive_key(HELLO, FIRST)
    copies = RemovedMeanwhile(tmp_path / "mirror")
    copies.registry = settled
    await overwrite(copies, key, await body_of(settled.storage, key))
    await settled.storage.delete(key)
    async with open_parts(settled.settings) as parts:
        watched = Watched(parts.storage)
        verification = Verification(parts, Silent(), False, DAY_S, late_s=0)
        repair = Repair(replace(parts, storage=cast(Any, watched)), verification, copies)
        assert [outcome.is_mended async for outcome in repair.run()] == [True]
    assert copies.is_removed
    assert key not in watched.put_from_files
    assert await body_of(settled.storage, key) == b""
    await copies.close()


@pytest.mark.parametrize("storage_settings", ["fs"], indirect=True)
async def test_rotten_bytes_behind_a_right_digest_are_mended_by_a_deep_repair(settled: Registry) -> None:
    """In a directory, other programs can change bytes; S3 keeps what it stored."""
    key = index_key(HELLO)
    before = await body_of(settled.storage, key)
    with (settled.settings.data_dir / key).open("r+b") as file:
        file.write(b"[")
    assert await kinds(settled, deep=True) == [("wrong_checksum", key)]
    assert [outcome.is_mended for outcome in await repaired(settled, deep=True)] == [True]
    assert await body_of(settled.storage, key) == before
