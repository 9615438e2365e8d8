"""The sweep does the work of lost, late or repeated wake-ups, with the same bytes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from indexer.catalog_publication import publish_catalog
from indexer.config_publication import publish_config
from indexer.parts import Parts
from indexer.publication import publish_package
from shared.blobs import CATALOG_KEY, archive_key, index_key, metadata_key
from shared.change_listener import ChangeListener
from shared.messages import Change
from shared.names import PackageName
from shared.storage.interface import Found
from shared.versions import VersionText
from tests.archives import hello_archive
from tests.stack import Registry, eventually
from worker.process import open_parts
from worker.schedule import Schedule

HELLO, VERSION = PackageName("hello"), VersionText("0.1.0")


@asynccontextmanager
async def parts_of(registry: Registry) -> AsyncIterator[Parts]:
    """A worker's parts over a registry whose own worker is not running."""
    async with open_parts(registry.settings) as parts:
        yield parts


async def body_of(registry: Registry, key: str) -> bytes:
    """The bytes that readers get."""
    found = await registry.storage.get(key)
    assert isinstance(found, Found), key
    return found.body


@pytest.mark.parametrize("storage_settings", ["fs"], indirect=True)
async def test_a_sweep_publishes_what_no_job_did(workerless_registry: Registry) -> None:
    """If Redis lost every message, a query still finds dirty generations."""
    registry = workerless_registry
    headers = await registry.add_publisher()
    for name in ("hello", "world"):
        await registry.publish(hello_archive(name=name), headers)
    async with parts_of(registry) as parts:
        assert await Schedule(parts).sweep() == 2
        assert await Schedule(parts).sweep() == 0
    assert b'"version":"0.1.0"' in await body_of(registry, index_key(HELLO))
    assert await registry.keys("staging/") == []


async def test_a_publication_done_twice_gives_the_same_files(workerless_registry: Registry) -> None:
    """The second publication does nothing; if forced, it writes the same bytes."""
    registry = workerless_registry
    await registry.publish(hello_archive(), await registry.add_publisher())
    keys = [index_key(HELLO), metadata_key(HELLO, VERSION), archive_key(HELLO, VERSION)]
    async with parts_of(registry) as parts:
        assert await publish_package(parts, HELLO) == 1
        first = [await body_of(registry, key) for key in keys]
        assert await publish_package(parts, HELLO) == 1
        async with registry.database.transaction() as tx:
            await tx.exec_driver_sql("UPDATE index_state SET generation = generation + 1")
        assert await publish_package(parts, HELLO) == 2
        assert [await body_of(registry, key) for key in keys] == first
        assert await publish_package(parts, PackageName("nobody")) is None


async def test_a_publication_that_was_cut_off_is_finished_by_the_next(workerless_registry: Registry) -> None:
    """The archive was promoted and its staged copy removed, but nothing was recorded."""
    registry = workerless_registry
    archive = hello_archive()
    await registry.publish(archive, await registry.add_publisher())
    staged = (await registry.keys("staging/"))[0]
    assert await registry.storage.copy(staged, archive_key(HELLO, VERSION))
    await registry.storage.delete(staged)
    async with parts_of(registry) as parts:
        assert await publish_package(parts, HELLO) == 1
    assert await body_of(registry, archive_key(HELLO, VERSION)) == archive


async def test_a_package_whose_archive_is_lost_does_not_stop_the_others(
    workerless_registry: Registry,
) -> None:
    """It stays dirty, and none of it is shown, because an index line needs its archive."""
    registry = workerless_registry
    headers = await registry.add_publisher()
    await registry.publish(hello_archive(), headers)
    await registry.storage.delete((await registry.keys("staging/"))[0])
    await registry.publish(hello_archive(name="world"), headers)
    async with parts_of(registry) as parts:
        assert await Schedule(parts).sweep() == 1
    assert await registry.keys("index/") == ["index/wo/rl/world"]
    dirty = "SELECT 1 FROM index_state WHERE generation > published_generation"
    assert len(await registry.rows(dirty)) == 1


async def test_two_workers_on_one_package_publish_it_once(workerless_registry: Registry) -> None:
    """The row lock admits one; the other finds nothing left to do."""
    registry = workerless_registry
    await registry.publish(hello_archive(), await registry.add_publisher())
    heard: list[Change] = []
    ready = asyncio.Event()
    listener = ChangeListener(registry.settings, heard.append, ready.set)
    listening = asyncio.create_task(listener.run())
    try:
        await asyncio.wait_for(ready.wait(), 60)
        async with parts_of(registry) as one, parts_of(registry) as two:
            results = await asyncio.gather(*(publish_package(parts, HELLO) for parts in (one, two) * 4))
            assert set(results) == {1}
            await eventually(lambda: _is_heard(heard))
    finally:
        listening.cancel()
        await asyncio.gather(listening, return_exceptions=True)
    assert [change.generations for change in heard] == [{"hello": 1}]


async def _is_heard(heard: list[Change]) -> bool:
    return bool(heard)


@pytest.mark.parametrize("storage_settings", ["fs"], indirect=True)
async def test_the_catalog_is_written_when_a_package_changed_and_only_then(
    workerless_registry: Registry,
) -> None:
    """An empty registry has a catalog too; an up-to-date one is left alone."""
    registry = workerless_registry
    async with parts_of(registry) as parts:
        assert await publish_catalog(parts)
        empty = await registry.storage.head(CATALOG_KEY)
        assert await publish_catalog(parts)
        assert await registry.storage.head(CATALOG_KEY) == empty
        await registry.publish(hello_archive(), await registry.add_publisher())
        await publish_package(parts, HELLO)
        assert await publish_catalog(parts)
    assert b'{"name":"hello","is_official":false,"latest":"0.1.0"' in await body_of(registry, CATALOG_KEY)
    assert await registry.rows("SELECT 1 FROM catalog_changes") == []


async def test_the_configuration_is_rewritten_when_a_setting_changed(workerless_registry: Registry) -> None:
    """A worker with another public base replaces it; one with the same does not."""
    registry = workerless_registry
    async with parts_of(registry) as parts:
        await publish_config(parts)
        before = await registry.storage.head("index/config.json")
        await publish_config(parts)
        assert await registry.storage.head("index/config.json") == before
        moved = registry.settings.model_copy(update={"public_base": "https://moved.example"})
        await publish_config(replace(parts, settings=moved))
    assert b"https://moved.example/v1/" in await body_of(registry, "index/config.json")


@pytest.mark.parametrize("storage_settings", ["fs"], indirect=True)
async def test_a_package_that_cannot_be_rendered_does_not_stop_the_others(
    workerless_registry: Registry,
) -> None:
    """No code of ours writes such a row; the error is logged, and the sweep continues."""
    registry = workerless_registry
    headers = await registry.add_publisher()
    for name in ("hello", "world"):
        await registry.publish(hello_archive(name=name), headers)
    async with registry.database.transaction() as tx:
        await tx.exec_driver_sql(
            "UPDATE package_versions SET manifest = '[1]' WHERE package_id = "
            "(SELECT id FROM packages WHERE name = 'hello')"
        )
    async with parts_of(registry) as parts:
        await Schedule(parts).sweep()
    assert "index/wo/rl/world" in await registry.keys("index/")
