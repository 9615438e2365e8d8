"""Packages that are published in one transaction: each has its own outcome."""

from __future__ import annotations

import asyncio

from indexer.publication import publish_packages
from shared.blobs import index_key, staging_key
from shared.errors import StorageFailed
from shared.names import PackageName
from tests.archives import hello_archive
from tests.stack import Registry
from worker.settings import open_parts

NAMES = [PackageName(name) for name in ("good", "lost", "busy", "clean")]
UNKNOWN = PackageName("unknown")
DIRTY = """
SELECT name FROM packages p JOIN index_state s ON s.package_id = p.id WHERE generation > published_generation
"""
WAITS = """
SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'
"""


async def test_packages_of_a_batch_do_not_hold_each_other_up(workerless_registry: Registry) -> None:
    """One is busy, of one the bytes are lost, one is done, one is nobody: the rest is published."""
    registry = workerless_registry
    headers = await registry.add_publisher()
    for name in NAMES:
        answer = await registry.publish(hello_archive(name=name), headers)
        if name == "lost":
            await registry.storage.delete(staging_key(answer.json()["cksum"]))
    async with open_parts(registry.settings) as parts:
        assert await publish_packages(parts, [PackageName("clean")]) == [1]
        async with registry.database.transaction() as tx:
            await tx.exec_driver_sql(
                "SELECT 1 FROM index_state s JOIN packages p ON p.id = s.package_id "
                "WHERE p.name = 'busy' FOR UPDATE OF s"
            )
            batch = asyncio.create_task(publish_packages(parts, [*NAMES, UNKNOWN]))
            await registry.until_row(WAITS)
            assert index_key(PackageName("good")) in await registry.keys("index/")
        good, lost, busy, clean, unknown = await batch
    assert (good, busy, clean, unknown) == (1, 1, 1, None)
    assert isinstance(lost, StorageFailed)
    assert await registry.keys("index/") == [
        index_key(PackageName(name)) for name in ("busy", "clean", "good")
    ]
    assert [row.name for row in await registry.rows(DIRTY)] == ["lost"]
