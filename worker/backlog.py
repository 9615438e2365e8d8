"""Gauges of waiting work, which a worker updates when its metrics are scraped."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Final

from indexer import metrics
from indexer.log.sequencer import Sequencer
from indexer.parts import Parts
from indexer.queries import packages
from indexer.queries.log import log_backlog
from indexer.queries.scrub import count_findings
from shared.blobs import CATALOG_KEY
from shared.errors import RegistryError
from shared.redis_client import REDIS_FAILURES

# A scrape waits this long for a dependency. An unknown gauge is then NaN, for which no alert fires;
# x07_dependency_up says which dependency is unavailable.
COLLECT_TIMEOUT_S: Final = 3.0
NOT_KNOWN: Final = float("nan")


async def collect_backlog(parts: Parts) -> None:
    """Update every gauge; the database, storage and Redis are asked at the same time."""
    await asyncio.gather(_collect_rows(parts), _collect_catalog_age(parts), _collect_queue(parts))


async def _collect_rows(parts: Parts) -> None:
    dirty = oldest = behind = different = NOT_KNOWN
    try:
        async with asyncio.timeout(COLLECT_TIMEOUT_S), parts.database.transaction() as tx:
            backlog = await packages.backlog(tx)
            dirty, oldest, behind = backlog.dirty, backlog.oldest_dirty_s, backlog.catalog_behind_s
            different = await count_findings(tx)
    except (RegistryError, TimeoutError):
        pass
    metrics.DIRTY_PACKAGES.set(dirty)
    metrics.OLDEST_DIRTY_SECONDS.set(oldest)
    metrics.CATALOG_BEHIND_SECONDS.set(behind)
    metrics.SCRUB_DIFFERENCES.set(different)


async def collect_log(parts: Parts, sequencer: Sequencer | None) -> None:
    """Update the gauges of the transparency log: its size, what waits, and whether it can grow."""
    size = waiting = behind = diverged = NOT_KNOWN
    try:
        async with asyncio.timeout(COLLECT_TIMEOUT_S):
            async with parts.database.reading() as connection:
                backlog = await log_backlog(connection)
            size, waiting, behind = backlog.size, backlog.waiting, backlog.waiting_s
            diverged = 0 if sequencer is None or await sequencer.agrees() else 1
    except (RegistryError, TimeoutError):
        pass
    metrics.LOG_SIZE.set(size)
    metrics.LOG_WAITING.set(waiting)
    metrics.LOG_BEHIND_SECONDS.set(behind)
    metrics.LOG_DIVERGED.set(diverged)


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
    except REDIS_FAILURES:
        pass
    metrics.QUEUE_DEPTH.set(depth)
