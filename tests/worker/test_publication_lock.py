"""What a publication reads, it reads behind its lock: a change that it waited for is in the files."""

from __future__ import annotations

import asyncio

from sqlalchemy import insert

from api.write.queries import packages
from indexer.publication import publish_package
from shared.names import PackageName
from shared.tables import package_owners
from tests.archives import hello_archive
from tests.stack import Registry
from worker.settings import open_parts

HELLO = PackageName("hello")
WAITS = """
SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'
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
