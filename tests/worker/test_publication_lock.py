"""What a publication reads, it reads behind its lock: a change that it waited for is in the files."""

from __future__ import annotations

import asyncio
import hashlib
import json
from dataclasses import replace
from typing import Any, Literal

import pytest
from sqlalchemy import insert

from api.write.queries import packages
from indexer.publication import publish_package, put_doubtful_again
from shared.blobs import NDJSON_TYPE, index_key
from shared.errors import DatabaseUnavailable, StorageUnavailable
from shared.names import PackageName
from shared.storage.interface import BlobInfo, Found, Storage
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
    """A real store in which one call about a key waits until it is let go."""

    def __init__(self, storage: Storage, key: str, call: Literal["head", "put"]) -> None:
        self._storage = storage
        self._held = (call, key)
        self.is_held = asyncio.Event()
        self.let_go = asyncio.Event()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._storage, name)

    async def head(self, key: str) -> BlobInfo | None:
        """Look at the blob, late if it is the held one."""
        await self._wait("head", key)
        return await self._storage.head(key)

    async def put(self, key: str, body: bytes, **described: Any) -> bool:
        """Put the blob, late if it is the held one."""
        await self._wait("put", key)
        return await self._storage.put(key, body, **described)

    async def _wait(self, call: str, key: str) -> None:
        if (call, key) == self._held:
            self.is_held.set()
            await self.let_go.wait()


@pytest.mark.parametrize(("call", "last"), [("put", ["0.1.0", "0.2.0"]), ("head", ["0.1.0"])])
async def test_an_old_file_does_not_stand_on_a_newer_one(
    workerless_registry: Registry, call: Literal["head", "put"], last: list[str]
) -> None:
    """A worker that lost its connection lost its lock: another may have published since. Its late put
    loses, as that of a worker that died; and if it looked late, too, its worker puts it right."""
    registry = workerless_registry
    headers = await registry.add_publisher()
    await registry.publish(hello_archive(version="0.1.0"), headers)
    async with open_parts(registry.settings) as slow, open_parts(registry.settings) as quick:
        held = HeldStorage(slow.storage, index_key(HELLO), call)
        slow = replace(slow, storage=held)
        late = asyncio.create_task(publish_package(slow, HELLO))
        await held.is_held.wait()
        await registry.rows(CUT_THE_LOCK_HOLDER)
        await registry.publish(hello_archive(version="0.2.0"), headers)
        assert await publish_package(quick, HELLO) == 2
        held.let_go.set()
        with pytest.raises(DatabaseUnavailable):
            await late
        assert await versions_in_index(registry) == last
        await put_doubtful_again(slow)
        assert await Schedule(slow).sweep() == 1
    assert await versions_in_index(registry) == ["0.1.0", "0.2.0"]


async def test_a_put_that_lost_is_made_again_from_the_rows(workerless_registry: Registry) -> None:
    """A dead worker's put may land between a look and a put: the package stays dirty until it is right."""
    registry = workerless_registry
    await registry.publish(hello_archive(version="0.1.0"), await registry.add_publisher())
    async with open_parts(registry.settings) as parts:
        held = HeldStorage(parts.storage, index_key(HELLO), "put")
        publication = asyncio.create_task(publish_package(replace(parts, storage=held), HELLO))
        await held.is_held.wait()
        landed = b'{"version":"0.0.9"}\n'
        digest = hashlib.sha256(landed).hexdigest()
        await parts.storage.put(index_key(HELLO), landed, content_type=NDJSON_TYPE, digest=digest)
        held.let_go.set()
        with pytest.raises(StorageUnavailable):
            await publication
        assert await versions_in_index(registry) == ["0.0.9"]
        assert parts.in_doubt == {HELLO}
        await put_doubtful_again(parts)
        assert await Schedule(parts).sweep() == 1
    assert await versions_in_index(registry) == ["0.1.0"]


async def versions_in_index(registry: Registry) -> list[str]:
    """The versions that storage's index file lists."""
    found = await registry.storage.get(index_key(HELLO))
    assert isinstance(found, Found)
    return [json.loads(line)["version"] for line in found.body.splitlines()]
