"""Packages that are published in one transaction each have their own outcome."""

from __future__ import annotations

from indexer.publication import publish_package, publish_packages
from shared.blobs import index_key, staging_prefix
from shared.errors import PackageBusy, StorageFailed
from shared.names import PackageName
from tests.archives import hello_archive
from tests.stack import Registry
from worker.process import open_parts

NAMES = [PackageName(name) for name in ("good", "lost", "busy", "clean")]
UNKNOWN = PackageName("unknown")
DIRTY = """
SELECT name FROM packages p JOIN index_state s ON s.package_id = p.id WHERE generation > published_generation
"""


async def test_packages_of_a_batch_do_not_hold_each_other_up(workerless_registry: Registry) -> None:
    """One package is locked, one lost its bytes, one is done, one does not exist: the others are done."""
    registry = workerless_registry
    headers = await registry.add_publisher()
    for name in NAMES:
        answer = await registry.publish(hello_archive(name=name), headers)
        if name == "lost":
            [staged] = await registry.keys(staging_prefix(answer.json()["cksum"]))
            await registry.storage.delete(staged)
    async with open_parts(registry.settings) as parts:
        assert await publish_packages(parts, [PackageName("clean")]) == [1]
        async with registry.database.transaction() as tx:
            await tx.exec_driver_sql(
                "SELECT 1 FROM index_state s JOIN packages p ON p.id = s.package_id "
                "WHERE p.name = 'busy' FOR UPDATE OF s"
            )
            good, lost, busy, clean, unknown = await publish_packages(parts, [*NAMES, UNKNOWN])
        assert (good, clean, unknown) == (1, 1, None)
        assert isinstance(busy, PackageBusy)
        assert await publish_package(parts, PackageName("busy")) == 1
    assert isinstance(lost, StorageFailed)
    assert await registry.keys("index/") == [
        index_key(PackageName(name)) for name in ("busy", "clean", "good")
    ]
    assert [row.name for row in await registry.rows(DIRTY)] == ["lost"]
