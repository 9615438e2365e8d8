"""A worker process: wake-ups beside the schedule, over one set of parts."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial

from indexer.publication import Parts
from shared.database import Database
from shared.http.operations import Collector, serving_operations
from shared.http.readiness import Probe, Probes
from shared.jobs import Notifier
from shared.pool_metrics import collect_pool_use
from shared.settings import Settings
from shared.storage import open_storage
from shared.tracing import stop_tracing
from worker.backlog import collect_backlog
from worker.schedule import Schedule
from worker.wake_ups import answer_wake_ups

ROLE = "worker"


@asynccontextmanager
async def open_parts(settings: Settings) -> AsyncIterator[Parts]:
    """What publication needs, closed at the end."""
    database, notifier = Database(settings), Notifier(settings)
    storage = await open_storage(settings)
    try:
        yield Parts(settings, database, storage, notifier)
    finally:
        await notifier.close()
        await storage.close()
        await database.close()
        await asyncio.to_thread(stop_tracing)


async def run(settings: Settings) -> None:
    """Work until cancelled."""
    async with open_parts(settings) as parts:
        schedule = Schedule(parts)
        try:
            async with (
                serving_operations(settings.metrics_bind, ROLE, _probes(parts), _collectors(parts)),
                asyncio.TaskGroup() as group,
            ):
                group.create_task(schedule.run())
                group.create_task(answer_wake_ups(settings, schedule))
        finally:
            await schedule.close()


def _probes(parts: Parts) -> Probes:
    """Without Redis the sweep goes on alone."""
    return {
        "database": Probe(parts.database.check),
        "storage": Probe(parts.storage.check),
        "redis": Probe(parts.notifier.check, is_required=False),
    }


def _collectors(parts: Parts) -> Sequence[Collector]:
    return (partial(collect_backlog, parts), partial(collect_pool_use, parts.database))
