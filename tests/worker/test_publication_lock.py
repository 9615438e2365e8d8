"""What a publication reads, it reads behind its lock: a change that it waited for is in the files."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import insert

from api.write.queries import packages
from indexer.publication import publish_package, put_doubtful_again
from shared.blobs import index_key
from shared.errors import DatabaseUnavailable
from shared.names import PackageName
from shared.storage.interface import Found, Storage
from shared.tables import package_owners
from tests.archives import hello_archive
from tests.stack import Registry
from worker.schedule import Schedule
from worker.settings import open_parts

HELLO = PackageName("hello")
WAITS = """
SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'
"""
CUT_THE_LOCK_HOLDER = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE datname = current_database() AND state = 'idle in transaction'
"""


async def test_a_publication_that_waits_for_a_change_publishes_the_change(
    workerless_registry: Registry,
) -> None:
    """It may not mark a generation as published with what it read before it had the lock."""
    registry = workerless_registry
    await registry.publish(hello_archive(), await registry.add_publisher())
    official = await registry.add_user(registry.settings.official_handle)
    async with open_parts(registry.settings) as parts:
        async with registry.database.transaction() as tx:
            package = await packages.get(tx, HELLO)
            await tx.execute(insert(package_owners).values(package_id=package.id, user_id=official))
            await packages.set_latest_version(tx, package.id, None)
            generation = await packages.raise_generation(tx, package.id)
            publication = asyncio.create_task(publish_package(parts, HELLO))
            await registry.until_row(WAITS)
        assert await publication == generation
    line = (await registry.rows("SELECT catalog_line FROM index_state"))[0].catalog_line
    assert line == b'{"name":"hello","is_official":true}'


class HeldStorage:
    """A real store whose next put of a key waits until it is let go."""

    def __init__(self, storage: Storage, key: str) -> None:
        self._storage = storage
        self._key = key
        self.is_held = asyncio.Event()
        self.let_go = asyncio.Event()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._storage, name)

    async def put(self, key: str, body: bytes, **described: Any) -> bool:
        """Put the blob, late if it is the held one."""
        if key == self._key:
            self.is_held.set()
            await self.let_go.wait()
        return await self._storage.put(key, body, **described)


async def test_an_old_file_that_lands_on_a_newer_one_is_put_right_by_its_worker(
    workerless_registry: Registry,
) -> None:
    """A worker that lost its connection lost its lock: another may have published since, and its late put
    must not be the last word."""
    registry = workerless_registry
    headers = await registry.add_publisher()
    await registry.publish(hello_archive(version="0.1.0"), headers)
    async with open_parts(registry.settings) as slow, open_parts(registry.settings) as quick:
        held = HeldStorage(slow.storage, index_key(HELLO))
        slow = replace(slow, storage=held)
        late = asyncio.create_task(publish_package(slow, HELLO))
        await held.is_held.wait()
        await registry.rows(CUT_THE_LOCK_HOLDER)
        await registry.publish(hello_archive(version="0.2.0"), headers)
        assert await publish_package(quick, HELLO) == 2
        held.let_go.set()
        with pytest.raises(DatabaseUnavailable):
            await late
        assert await versions_in_index(registry) == ["0.1.0"], "the old file is the last that was put"
        await put_doubtful_again(slow)
        assert await Schedule(slow).sweep() == 1
    assert await versions_in_index(registry) == ["0.1.0", "0.2.0"]


async def versions_in_index(registry: Registry) -> list[str]:
    """The versions that storage's index file lists."""
    found = await registry.storage.get(index_key(HELLO))
    assert isinstance(found, Found)
    return [json.loads(line)["version"] for line in found.body.splitlines()]
