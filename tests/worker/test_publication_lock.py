"""A publication reads after taking its lock, so that its files include changes it waited for."""

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
from api.write.queries import packages as write_packages
from api.write.removal import remove_version
from indexer.publication import publish_package, publish_packages
from shared.blobs import ARCHIVE_TYPE, NDJSON_TYPE, archive_key, index_key, metadata_key, package_key
from shared.errors import DatabaseBehind, DatabaseUnavailable, PackageBusy
from shared.names import PackageName
from shared.storage.interface import BlobInfo, Found, Missing, NotModified, Storage
from shared.tables import package_owners
from shared.versions import VersionText
from tests.archives import hello_archive
from tests.stack import Registry
from worker.process import open_parts

HELLO = PackageName("hello")
FIRST = VersionText("0.1.0")
CUT_THE_LOCK_HOLDER = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE datname = current_database() AND state = 'idle in transaction'
"""


async def test_a_publication_that_waits_for_a_change_publishes_the_change(
    workerless_registry: Registry,
) -> None:
    """It must not mark a generation as published with rows that it read before it had the lock."""
    registry = workerless_registry
    await registry.publish(hello_archive(), await registry.add_publisher())
    official = await registry.add_user(registry.settings.official_handle)
    async with open_parts(registry.settings) as parts:
        async with registry.database.transaction() as tx:
            package = await write_packages.get(tx, HELLO)
            await tx.execute(insert(package_owners).values(package_id=package.id, user_id=official))
            await write_packages.set_latest_version(tx, package.id, None)
            generation = await write_packages.raise_generation(tx, package.id)
            [outcome] = await publish_packages(parts, [HELLO])
            assert isinstance(outcome, PackageBusy)
            publication = asyncio.create_task(publish_package(parts, HELLO))
        assert await publication == generation
    line = (await registry.rows("SELECT catalog_line FROM index_state"))[0].catalog_line
    assert line == b'{"name":"hello","is_official":true}'


class HeldStorage:
    """A real store in which calls of one kind for some keys wait until they are released."""

    def __init__(self, storage: Storage, call: Literal["head", "get", "put", "copy"], *keys: str) -> None:
        self._storage = storage
        self._call, self._keys = call, keys
        self.copies: list[asyncio.Task[bool]] = []
        self.is_held = asyncio.Event()
        self.let_go = asyncio.Event()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._storage, name)

    async def head(self, key: str) -> BlobInfo | None:
        """Read the metadata, late if the call is held."""
        await self._wait("head", key)
        return await self._storage.head(key)

    async def get(self, key: str) -> Found | NotModified | Missing:
        """Read the blob, late if the call is held."""
        await self._wait("get", key)
        return await self._storage.get(key)

    async def put(self, key: str, body: bytes, **described: Any) -> bool:
        """Put the blob, late if the call is held."""
        await self._wait("put", key)
        return await self._storage.put(key, body, **described)

    async def put_in_order(self, *_: Any) -> bool:
        """Never, so that each call can be held."""
        return False

    async def copy(self, source: str, target: str, **conditions: Any) -> bool:
        """Copy the blob; the store continues even if nobody waits for its answer any more."""
        self.copies.append(asyncio.create_task(self._copy(source, target, **conditions)))
        return await asyncio.shield(self.copies[-1])

    async def _copy(self, source: str, target: str, **conditions: Any) -> bool:
        """Copy like a slow store: the source is read first, and the target written late."""
        found = await self._storage.get(source)
        if not isinstance(found, Found):
            return False
        await self._wait("copy", target)
        return await self._storage.put(
            target, found.body, content_type=ARCHIVE_TYPE, digest=found.digest, **conditions
        )

    async def _wait(self, call: str, key: str) -> None:
        if call == self._call and key in self._keys:
            self.is_held.set()
            await self.let_go.wait()


@pytest.mark.parametrize("call", ["head", "get", "put"])
async def test_a_worker_that_lost_its_lock_changes_nothing(
    workerless_registry: Registry, call: Literal["head", "get", "put"]
) -> None:
    """Its connection was cut during a comparison or a put; another worker has published since.

    Its remaining calls fail, and nothing has to be corrected.
    """
    registry = workerless_registry
    headers = await registry.add_publisher()
    await registry.publish(hello_archive(version="0.1.0"), headers)
    async with open_parts(registry.settings) as slow, open_parts(registry.settings) as quick:
        keys = (
            [metadata_key(HELLO, FIRST)] if call == "head" else [index_key(HELLO), metadata_key(HELLO, FIRST)]
        )
        if call != "put":
            await publish_package(quick, HELLO)
            await registry.rows("UPDATE index_state SET generation = 7 RETURNING 1")
        if call == "head":  # called under the lock for a document that must be put again
            await registry.rows("UPDATE version_state SET metadata_digest = NULL RETURNING 1")
        if call == "get":  # called where storage has another generation than was published
            await registry.rows("UPDATE index_state SET published_generation = 6 RETURNING 1")
        held = HeldStorage(slow.storage, call, *keys)
        slow = replace(slow, storage=held)
        late = asyncio.create_task(publish_package(slow, HELLO))
        await held.is_held.wait()
        await registry.rows(CUT_THE_LOCK_HOLDER)
        await registry.publish(hello_archive(version="0.2.0"), headers)
        assert await publish_package(quick, HELLO) == (2 if call == "put" else 8)
        tree = await tree_of(registry)
        held.let_go.set()
        with pytest.raises(DatabaseUnavailable):
            await late
        assert await tree_of(registry) == tree
    assert await versions_in_index(registry) == ["0.1.0", "0.2.0"]


@pytest.mark.parametrize("storage_settings", ["fs"], indirect=True)
async def test_a_worker_that_looked_before_another_one_published_looks_again(
    workerless_registry: Registry,
) -> None:
    """In a directory it looks before it takes the lock; what it saw is not what it replaces."""
    registry = workerless_registry
    headers = await registry.add_publisher()
    await registry.publish(hello_archive(version="0.1.0"), headers)
    async with open_parts(registry.settings) as slow, open_parts(registry.settings) as quick:
        held = HeldStorage(slow.storage, "head", index_key(HELLO))
        late = asyncio.create_task(publish_package(replace(slow, storage=held), HELLO))
        await held.is_held.wait()
        assert await publish_package(quick, HELLO) == 1
        await registry.publish(hello_archive(version="0.2.0"), headers)
        held.let_go.set()
        assert await late == 2
    assert await versions_in_index(registry) == ["0.1.0", "0.2.0"]


async def test_a_put_of_a_worker_that_died_is_replaced(workerless_registry: Registry) -> None:
    """It arrives between a comparison and a put of the worker with the lock, which then compares again."""
    registry = workerless_registry
    await registry.publish(hello_archive(version="0.1.0"), await registry.add_publisher())
    async with open_parts(registry.settings) as parts:
        held = HeldStorage(parts.storage, "put", index_key(HELLO))
        publication = asyncio.create_task(publish_package(replace(parts, storage=held), HELLO))
        await held.is_held.wait()
        landed = b'{"version":"0.0.9"}\n'
        digest = hashlib.sha256(landed).hexdigest()
        await parts.storage.put(
            index_key(HELLO), landed, content_type=NDJSON_TYPE, digest=digest, generation=1
        )
        held.let_go.set()
        assert await publication == 1
    assert await versions_in_index(registry) == ["0.1.0"]


@pytest.mark.parametrize("key", [index_key(HELLO), package_key(HELLO)])
async def test_a_new_package_takes_nothing_from_readers(workerless_registry: Registry, key: str) -> None:
    """No file of it should be there; one that is there may list a version that the database has lost."""
    registry = workerless_registry
    await registry.publish(hello_archive(version="0.2.0"), await registry.add_publisher())
    lost = b'{"version":"0.1.0","cksum":"00"}\n'
    digest = hashlib.sha256(lost).hexdigest()
    for there in {key, index_key(HELLO)}:
        await registry.storage.put(there, lost, content_type=NDJSON_TYPE, digest=digest, generation=1)
    async with open_parts(registry.settings) as parts:
        [outcome] = await publish_packages(parts, [HELLO])
    assert isinstance(outcome, DatabaseBehind)
    for there in {key, index_key(HELLO)}:
        found = await registry.storage.head(there)
        assert found is not None
        assert found.digest == digest


async def test_a_late_copy_does_not_bring_a_removed_version_back(workerless_registry: Registry) -> None:
    """It is in progress when its worker loses the lock and dies, and arrives after the version was removed.

    No living process knows of it, but the place of the archive is taken.
    """
    registry = workerless_registry
    await registry.publish(hello_archive(version="0.1.0"), await registry.add_publisher())
    async with open_parts(registry.settings) as dead, open_parts(registry.settings) as alive:
        store = HeldStorage(dead.storage, "copy", archive_key(HELLO, FIRST))
        killed = asyncio.create_task(publish_package(replace(dead, storage=store), HELLO))
        await store.is_held.wait()
        await registry.rows(CUT_THE_LOCK_HOLDER)
        killed.cancel()
        await asyncio.gather(killed, return_exceptions=True)
        await remove(registry, "0.1.0")
        assert await publish_package(alive, HELLO) == 2
        store.let_go.set()
        assert await asyncio.gather(*store.copies) == [False]
    assert await registry.keys() == ["dl/hello/package"]


async def remove(registry: Registry, version: str) -> None:
    """Remove a version of hello for legal reasons, like an operator's command."""
    admin = Principal(await registry.add_user("admin"), "admin", None, ("admin",), email_verified=True)
    async with open_services(registry.settings) as services:
        await remove_version(services, admin, HELLO, VersionText(version), "court order 12/2026")


async def tree_of(registry: Registry) -> list[BlobInfo | None]:
    """The metadata of every blob of the published tree."""
    return [await registry.storage.head(key) for key in await registry.keys()]


async def versions_in_index(registry: Registry) -> list[str]:
    """The versions in storage's index file."""
    found = await registry.storage.get(index_key(HELLO))
    assert isinstance(found, Found)
    return [json.loads(line)["version"] for line in found.body.splitlines()]
