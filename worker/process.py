"""Runs a worker process: jobs and the schedule, with one set of connections.

`arq worker.process.WorkerSettings` runs the same worker from arq's own command (WorkerSettings below).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import Any

from arq.connections import RedisSettings

from indexer.log.sequencer import Sequencer, open_sequencer
from indexer.log.witnesses import open_witnesses
from indexer.parts import Parts, make_parts
from indexer.purging.purger import open_purger
from indexer.webhooks.delivery import Deliveries
from indexer.webhooks.sender import Sender
from shared.database import Database
from shared.http.operations import Collector, serving_operations
from shared.http.readiness import Probe, Probes
from shared.jobs import queue_name
from shared.messages import Notifier
from shared.pool_metrics import collect_pool_use
from shared.redis_address import parse_redis_address
from shared.settings import Settings, load_settings
from shared.storage.opening import open_storage
from shared.storage.write_check import WriteCheck
from shared.telemetry import configure_logging
from shared.tracing import start_tracing, stop_tracing
from worker.backlog import collect_backlog, collect_log
from worker.jobs import FUNCTIONS
from worker.queue import work_on_jobs
from worker.schedule import Schedule

ROLE = "worker"
# arq's own command waits this long for Redis, in tries of a second.
ARQ_TRIES = 60


@asynccontextmanager
async def open_parts(settings: Settings) -> AsyncIterator[Parts]:
    """The connections that publication needs; closed at the end of the context."""
    database, notifier = Database(settings), Notifier(settings)
    storage = await open_storage(settings)
    try:
        yield make_parts(settings, database, storage, notifier)
    finally:
        await notifier.close()
        await storage.close()
        await database.close()
        await asyncio.to_thread(stop_tracing)


async def run(settings: Settings) -> None:
    """Work until cancelled."""
    async with AsyncExitStack() as stack:
        parts = await stack.enter_async_context(open_parts(settings))
        sequencer = open_sequencer(parts.settings, parts.database, parts.storage, parts.notifier)
        witnesses = await stack.enter_async_context(open_witnesses(sequencer, settings.witnesses()))
        sender = Sender(settings)
        stack.push_async_callback(sender.close)
        purger = await stack.enter_async_context(open_purger(parts))
        schedule = Schedule(parts, sequencer, witnesses, Deliveries(parts, sender), purger)
        try:
            async with (
                serving_operations(
                    settings.metrics_bind, ROLE, _probes(parts, sequencer), _collectors(parts, sequencer)
                ),
                asyncio.TaskGroup() as group,
            ):
                group.create_task(schedule.run())
                group.create_task(work_on_jobs(settings, schedule))
        finally:
            await schedule.close()


def _probes(parts: Parts, sequencer: Sequencer | None) -> Probes:
    """The dependencies that readiness checks. Redis is not required, because the sweep works without it.

    A log that cannot grow makes the worker unready, because a person has to repair it.
    """
    probes = {
        "database": Probe(parts.database.check),
        "storage": Probe(WriteCheck(parts.storage, parts.settings)),
        "redis": Probe(parts.notifier.check, is_required=False),
        "high_water": Probe(parts.high_water.require),
    }
    return probes if sequencer is None else probes | {"log": Probe(sequencer.check)}


def _collectors(parts: Parts, sequencer: Sequencer | None) -> Sequence[Collector]:
    return (
        partial(collect_backlog, parts),
        partial(collect_log, parts, sequencer),
        partial(collect_pool_use, parts.database),
    )


def __getattr__(name: str) -> dict[str, Any]:
    """WorkerSettings for arq's own command, made when it is asked for: they come from the environment."""
    if name != "WorkerSettings":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return _arq_settings(load_settings())


def _arq_settings(settings: Settings) -> dict[str, Any]:
    """Arguments of arq.Worker. Its start-up is this worker's whole run, which its signal handlers cancel.

    `arq --check` looks for the health record, which every worker of the queue keeps.
    """

    async def run_here(_: dict[str, Any]) -> None:
        configure_logging(settings)
        start_tracing(settings, ROLE)
        await run(settings)

    return {
        "functions": FUNCTIONS,
        "queue_name": queue_name(settings),
        "redis_settings": _redis_of_arq(settings),
        "on_startup": run_here,
    }


def _redis_of_arq(settings: Settings) -> RedisSettings:
    """Where arq's own command finds Redis. It sends Sentinels no password and speaks to them without TLS."""
    url, sentinels = parse_redis_address(settings.redis_url.get_secret_value())
    redis = RedisSettings.from_dsn(url)
    redis.conn_retries = ARQ_TRIES
    if sentinels is not None:
        redis.host, redis.sentinel, redis.sentinel_master = [*sentinels.hosts], True, sentinels.name
    return redis
