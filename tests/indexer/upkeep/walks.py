"""Runs verification and repair for a test's registry, and damages it."""

from __future__ import annotations

import hashlib
from typing import Any

from indexer.catalog_publication import publish_catalog
from indexer.config_publication import publish_config
from indexer.upkeep.differences import Difference
from indexer.upkeep.repair import Outcome, Repair
from indexer.upkeep.verification import Verification
from shared.blobs import content_type_of
from shared.storage.interface import Found, Storage
from tests.archives import hello_archive
from tests.stack import Registry
from worker.process import open_parts
from worker.schedule import Schedule

DAY_S = 86_400.0


class Silent:
    """Ignores the progress. parts: the parts that have begun."""

    def __init__(self) -> None:
        self.parts: list[str] = []
        self.done = 0

    def begin(self, what: str, total: int | None = None) -> None:
        """Record the beginning of a part."""
        self.parts.append(what)

    def advance(self, count: int = 1) -> None:
        """Ignore the progress."""
        self.done += count


async def verified(
    registry: Registry, *, deep: bool = False, orphan_after_s: float = DAY_S, after: str = ""
) -> list[Difference]:
    """Every difference of a registry."""
    async with open_parts(registry.settings) as parts:
        verification = Verification(parts, Silent(), deep, orphan_after_s)
        return [difference async for difference in verification.run(after)]


async def kinds(registry: Registry, **options: Any) -> list[tuple[str, str]]:
    """Kind and key of every difference, sorted."""
    return sorted((str(item.kind), item.key) for item in await verified(registry, **options))


async def repaired(registry: Registry, *, deep: bool = False, copies: Storage | None = None) -> list[Outcome]:
    """The outcomes of a repair."""
    async with open_parts(registry.settings) as parts:
        verification = Verification(parts, Silent(), deep, DAY_S, late_s=0)
        return [outcome async for outcome in Repair(parts, verification, copies).run()]


async def publish_all(registry: Registry) -> None:
    """Publish two packages with three versions completely: files, index, catalog."""
    headers = await registry.add_publisher()
    for name, version in (("hello", "0.1.0"), ("hello", "0.2.0+b.1"), ("hello-world", "1.0.0")):
        answer = await registry.publish(hello_archive(name=name, version=version), headers)
        assert answer.status_code == 200, answer.text
    await settle(registry)


async def settle(registry: Registry) -> None:
    """Do the work of a worker once. The test's registry has no worker, which would repair damage."""
    async with open_parts(registry.settings) as parts:
        await publish_config(parts)
        await Schedule(parts).sweep()
        assert await publish_catalog(parts)


async def body_of(storage: Storage, key: str) -> bytes:
    """The stored bytes."""
    found = await storage.get(key)
    assert isinstance(found, Found), key
    return found.body


async def overwrite(storage: Storage, key: str, body: bytes, digest: str | None = None) -> None:
    """Put other bytes under a key. digest: the digest to store, if not the true one."""
    claimed = digest or hashlib.sha256(body).hexdigest()
    await storage.put(key, body, content_type=content_type_of(key), digest=claimed)


async def everything(storage: Storage) -> dict[str, bytes]:
    """All bodies in storage, by key."""
    return {info.key: await body_of(storage, info.key) async for info in storage.list("")}
