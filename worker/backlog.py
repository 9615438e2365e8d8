"""How much work waits: gauges that a worker brings up to date when it is asked for its metrics."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Final

from redis.exceptions import RedisError

from indexer import metrics, queries
from indexer.publication import Parts
from shared.blobs import CATALOG_KEY
from shared.errors import RegistryError

# A scrape waits no longer for a dependency; what is not known then is not a number, and no alert fires
# on it: x07_dependency_up says what is away.
COLLECT_TIMEOUT_S: Final = 3.0
NOT_KNOWN: Final = float("nan")


async def collect_backlog(parts: Parts) -> None:
    """Ask the database, storage and Redis what waits, all at once."""
    await asyncio.gather(_collect_rows(parts), _collect_catalog_age(parts), _collect_queue(parts))


async def _collect_rows(parts: Parts) -> None:
    dirty = oldest = behind = NOT_KNOWN
    try:
        async with asyncio.timeout(COLLECT_TIMEOUT_S), parts.database.transaction() as tx:
            backlog = await queries.backlog(tx)
            dirty, oldest, behind = backlog.dirty, backlog.oldest_dirty_s, backlog.catalog_behind_s
    except (RegistryError, TimeoutError):
        pass
    metrics.DIRTY_PACKAGES.set(dirty)
    metrics.OLDEST_DIRTY_SECONDS.set(oldest)
    metrics.CATALOG_BEHIND_SECONDS.set(behind)


async def _collect_catalog_age(parts: Parts) -> None:
    age = NOT_KNOWN
    try:
        async with asyncio.timeout(COLLECT_TIMEOUT_S):
            catalog = await parts.storage.head(CATALOG_KEY)
        if catalog is not None:
            age = (datetime.now(UTC) - catalog.modified_at).total_seconds()
    except (RegistryError, TimeoutError):
        pass
    metrics.CATALOG_AGE_SECONDS.set(age)


async def _collect_queue(parts: Parts) -> None:
    depth: float = NOT_KNOWN
    try:
        async with asyncio.timeout(COLLECT_TIMEOUT_S):
            depth = await parts.notifier.queue_depth()
    except (RedisError, OSError, TimeoutError):
        pass
    metrics.QUEUE_DEPTH.set(depth)
