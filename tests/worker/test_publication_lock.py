"""What a publication reads, it reads behind its lock: a change that it waited for is in the files."""

from __future__ import annotations

import asyncio
import hashlib
import json
from dataclasses import replace
from typing import Any, Literal

import pytest
from sqlalchemy import insert

from api.write.app import open_services
from api.write.principal import Principal
from api.write.queries import packages
from api.write.removal import remove_version
from indexer import queries
from indexer.publication import publish_package, put_doubtful_again
from shared.blobs import ARCHIVE_TYPE, NDJSON_TYPE, archive_key, index_key, metadata_key
from shared.errors import DatabaseUnavailable, StorageUnavailable
from shared.names import PackageName
from shared.storage.interface import BlobInfo, Found, Storage
from shared.tables import package_owners
from shared.versions import VersionText
from tests.archives import hello_archive
from tests.stack import Registry
from worker.schedule import Schedule
from worker.settings import open_parts

HELLO = PackageName("hello")
FIRST = VersionText("0.1.0")
WAITS = """
SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'
"""
CUT_THE_LOCK_HOLDER = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE datname = current_database() AND state = 'idle in transaction'
"""
AFTER_A_WHILE = """
WITH older AS (UPDATE version_tombstones SET removed_at = removed_at - make_interval(secs => :past_s))
UPDATE index_state SET published_at = published_at - make_interval(secs => :past_s) RETURNING 1
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
    """A real store in which calls of one kind about some keys wait until they are let go."""

    def __init__(self, storage: Storage, call: Literal["head", "put", "copy"], *keys: str) -> None:
        self._storage = storage
        self._call, self._keys = call, keys
        self.copies: list[asyncio.Task[bool]] = []
        self.is_held = asyncio.Event()
        self.let_go = asyncio.Event()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._storage, name)

    async def head(self, key: str) -> BlobInfo | None:
        """Look at the blob, late if it is a held one."""
        await self._wait("head", key)
        return await self._storage.head(key)

    async def put(self, key: str, body: bytes, **described: Any) -> bool:
        """Put the blob, late if it is a held one."""
        await self._wait("put", key)
        return await self._storage.put(key, body, **described)

    async def copy(self, source: str, target: str) -> bool:
        """Copy the blob; the store goes on with it when nobody waits for its answer any more."""
        self.copies.append(asyncio.create_task(self._copy(source, target)))
        return await asyncio.shield(self.copies[-1])

    async def _copy(self, source: str, target: str) -> bool:
        """As a slow store does it: the source is read first, and the target written late."""
        found = await self._storage.get(source)
        if not isinstance(found, Found):
            return False
        await self._wait("copy", target)
        return await self._storage.put(target, found.body, content_type=ARCHIVE_TYPE, digest=found.digest)

    async def _wait(self, call: str, key: str) -> None:
        if call == self._call and key in self._keys:
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
        held = HeldStorage(slow.storage, call, index_key(HELLO), metadata_key(HELLO, FIRST))
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
        held = HeldStorage(parts.storage, "put", index_key(HELLO))
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


async def test_a_late_copy_does_not_bring_a_removed_version_back(workerless_registry: Registry) -> None:
    """It is under way when its worker loses the lock and dies, and lands after the version was removed for
    legal reasons. Nobody who lives knows of it: so the package is put once more when it must have ended."""
    registry = workerless_registry
    await registry.publish(hello_archive(version="0.1.0"), await registry.add_publisher())
    archive = archive_key(HELLO, VersionText("0.1.0"))
    async with open_parts(registry.settings) as dead, open_parts(registry.settings) as alive:
        store = HeldStorage(dead.storage, "copy", archive)
        killed = asyncio.create_task(publish_package(replace(dead, storage=store), HELLO))
        await store.is_held.wait()
        await registry.rows(CUT_THE_LOCK_HOLDER)
        killed.cancel()
        await asyncio.gather(killed, return_exceptions=True)
        await remove(registry, "0.1.0")
        assert await publish_package(alive, HELLO) == 2
        assert await registry.keys() == []
        store.let_go.set()
        await asyncio.gather(*store.copies)
        assert await registry.keys() == [archive]
        await put_doubtful_again(alive)
        assert await Schedule(alive).sweep() == 0  # too early to be sure that nothing is under way
        await registry.rows(AFTER_A_WHILE, past_s=queries.LATE_COPY_S)
        await put_doubtful_again(alive)
        assert await Schedule(alive).sweep() == 1
        assert await registry.keys() == []
        await put_doubtful_again(alive)
        assert await Schedule(alive).sweep() == 0


async def remove(registry: Registry, version: str) -> None:
    """Remove a version of hello for legal reasons, as an operator's command does."""
    admin = Principal(await registry.add_user("admin"), "admin", None, ("admin",), email_verified=True)
    async with open_services(registry.settings) as services:
        await remove_version(services, admin, HELLO, VersionText(version), "court order 12/2026")


async def versions_in_index(registry: Registry) -> list[str]:
    """The versions that storage's index file lists."""
    found = await registry.storage.get(index_key(HELLO))
    assert isinstance(found, Found)
    return [json.loads(line)["version"] for line in found.body.splitlines()]
