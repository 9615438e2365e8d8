"""A worker process: arq for wake-ups beside the schedule, over one set of parts."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from functools import partial

import structlog
from arq.connections import ArqRedis
from arq.worker import Worker, func
from redis.exceptions import RedisError

from indexer.publication import Parts
from shared.database import Database
from shared.http.operations import Collector, serving_operations
from shared.http.readiness import Probe, Probes
from shared.jobs import PUBLISH_PACKAGES, Notifier, connect_queue, queue_name
from shared.pool_metrics import collect_pool_use
from shared.settings import Settings
from shared.storage import open_storage
from shared.tracing import stop_tracing
from worker.backlog import collect_backlog
from worker.schedule import Schedule
from worker.tasks import publish

ROLE = "worker"
MAX_JOBS = 8
JOB_TIMEOUT_S = 120
# Each poll is one small Redis command; half of this is what a publish waits for a worker on average.
POLL_DELAY_S = 0.01
RECONNECT_S = 1.0
DRAIN_S = 5.0
CANCEL_AGAIN_S = 0.1

log = structlog.get_logger()


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
                group.create_task(_run_queue(settings, schedule))
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


async def _run_queue(settings: Settings, schedule: Schedule) -> None:
    """Take jobs from arq; while Redis is away the schedule goes on alone."""
    while True:
        redis = connect_queue(settings)
        worker = build_queue_worker(redis, settings, schedule)
        try:
            await _until_cancelled(worker)
        except (RedisError, OSError, TimeoutError) as error:
            log.warning("queue_unavailable", error=type(error).__name__)
        except Exception:
            log.exception("queue_crashed")  # the schedule, which guarantees, must not end with it
            await _forget(redis, settings)
        finally:
            await _drain(worker)
            await redis.aclose(close_connection_pool=True)
        await asyncio.sleep(RECONNECT_S)


async def _forget(redis: ArqRedis, settings: Settings) -> None:
    """Empty the queue of what no registry put there, or it would end every worker that comes by.

    What waits is only wake-ups; the sweep does their work.
    """
    with suppress(RedisError, OSError, TimeoutError):
        await redis.delete(queue_name(settings))


async def _until_cancelled(worker: Worker) -> None:
    """Run arq's loop. Its client can swallow a cancellation (`wait_for`, 3.11), so ours is repeated."""
    loop = asyncio.create_task(worker.main())
    try:
        await asyncio.wait({loop})
    except asyncio.CancelledError:
        while not loop.done():
            loop.cancel()
            await asyncio.wait({loop}, timeout=CANCEL_AGAIN_S)
        raise
    await loop


async def _drain(worker: Worker) -> None:
    """Let running jobs finish, for a while; what is left over is the sweep's."""
    running = list(worker.tasks.values())
    if running:
        _, late = await asyncio.wait(running, timeout=DRAIN_S)
        for job in late:
            job.cancel()
        await asyncio.gather(*running, return_exceptions=True)


def build_queue_worker(
    redis: ArqRedis, settings: Settings, schedule: Schedule, *, burst: bool = False
) -> Worker:
    """An arq worker for this registry's queue; burst: stop when the queue is empty (tests)."""
    return Worker(
        [func(publish, name=PUBLISH_PACKAGES)],
        redis_pool=redis,
        job_serializer=redis.job_serializer,
        job_deserializer=redis.job_deserializer,
        queue_name=queue_name(settings),
        ctx={"schedule": schedule},
        burst=burst,
        handle_signals=False,
        max_jobs=MAX_JOBS,
        job_timeout=JOB_TIMEOUT_S,
        keep_result=0,
        poll_delay=POLL_DELAY_S,
        max_tries=5,
        log_results=False,
    )
