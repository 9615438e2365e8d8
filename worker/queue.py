"""Runs the jobs of the queue while Redis is available; otherwise schedule.py works alone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Final

import structlog
from redis.exceptions import ResponseError

from shared.concurrency import FINISH_S
from shared.jobs import open_queue
from shared.messages import SOCKET_TIMEOUT_S
from shared.redis_client import REDIS_FAILURES
from shared.settings import Settings
from worker.jobs import FUNCTIONS, cron_jobs
from worker.schedule import Schedule
from worker.woken_worker import WokenWorker

RECONNECT_S: Final = 1.0

log = structlog.get_logger()


async def work_on_jobs(settings: Settings, schedule: Schedule) -> None:
    """Run jobs until cancelled, which waits up to FINISH_S for jobs that are under way."""
    while True:
        try:
            async with open_worker(settings, schedule) as worker:
                await _run(worker)
        except REDIS_FAILURES as error:
            log.warning("queue_unavailable", error=type(error).__name__)
        except Exception:  # the schedule runs in the same task group and must not end with it
            log.exception("queue_crashed")
        await asyncio.sleep(RECONNECT_S)


@asynccontextmanager
async def open_worker(settings: Settings, schedule: Schedule) -> AsyncIterator[WokenWorker]:
    """A worker over connections of its own; at the end, its jobs are finished or cancelled."""
    redis = open_queue(settings, SOCKET_TIMEOUT_S)
    worker = WokenWorker(settings, redis, FUNCTIONS, cron_jobs(settings), {"schedule": schedule})
    try:
        yield worker
    finally:
        if running := list(worker.tasks.values()):
            await asyncio.wait(running, timeout=FINISH_S)
        for late in running:
            late.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        with suppress(*REDIS_FAILURES):
            await worker.forget_done()
        await redis.aclose(close_connection_pool=True)


async def _run(worker: WokenWorker) -> None:
    """Run the worker's loop. A queue that another program replaced is removed; the sweep does its work."""
    try:
        await worker.main()
    except ResponseError as error:
        if "WRONGTYPE" not in str(error):
            raise
        log.warning("queue_replaced", queue=worker.queue_name)
        await worker.pool.delete(worker.queue_name)
