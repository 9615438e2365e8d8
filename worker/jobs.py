"""The functions that arq runs: jobs that writers and workers queue, and periodic work.

A job may run twice, late or never; the sweep of schedule.py makes up for it. ctx: this worker's schedule, as
"schedule", and the entries that arq adds.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from functools import wraps
from typing import Any, Final

import msgspec
import structlog
from arq import Retry, cron
from arq.cron import CronJob
from arq.typing import WorkerCoroutine
from arq.worker import Function, func
from structlog.contextvars import bound_contextvars

from shared.errors import PackageBusy, Unavailable
from shared.jobs import (
    ASK_WITNESSES,
    DELIVER_WEBHOOKS,
    PUBLISH_ACCESS,
    PUBLISH_CATALOG,
    PUBLISH_PACKAGES,
    PURGE_EDGE,
    catalog_count_key,
)
from shared.names import PackageName, parse_name
from shared.publish_errors import InvalidName
from shared.settings import Settings
from worker.schedule import Schedule

# Pauses before another try: the first, doubled for each further one, and the longest.
RETRY_S: Final = 0.5
LONGEST_RETRY_S: Final = 8.0
# Time until a witness that failed is asked again.
WITNESSES_EVERY_S: Final = 10

log = structlog.get_logger()


def retried(job: WorkerCoroutine) -> WorkerCoroutine:
    """A job that is tried again, after a pause, when a dependency is away."""

    @wraps(job)
    async def tried(ctx: dict[str, Any]) -> None:
        try:
            await job(ctx)
        except Unavailable as error:
            log.warning("job_put_off", job_id=ctx["job_id"], code=error.code, reason=error.message)
            raise Retry(defer=pause_s(ctx)) from error

    return tried


def pause_s(ctx: dict[str, Any]) -> float:
    """The pause before the next try of a job."""
    return float(min(RETRY_S * 2 ** (ctx["job_try"] - 1), LONGEST_RETRY_S))


async def publish_packages(ctx: dict[str, Any], names: Any, traces: Any = None) -> None:
    """Publish every package named that has unpublished changes. Raises Retry while a dependency is away.

    names: strings. traces: of the changes behind the job, by package. Anybody who can write to Redis may have
    queued other values, which are logged and ignored.
    """
    schedule: Schedule = ctx["schedule"]
    try:
        texts = msgspec.convert(names, list[str])
        carriers = msgspec.convert(traces or {}, dict[str, dict[str, str]])
    except msgspec.ValidationError:
        log.warning("job_unreadable", job_id=ctx["job_id"])
        return
    wanted = dict.fromkeys(_names(texts))
    with bound_contextvars(job_id=ctx["job_id"]):
        failures = await asyncio.gather(*(schedule.try_publish(name, carriers.get(name)) for name in wanted))
    if any(isinstance(failure, Unavailable) and not isinstance(failure, PackageBusy) for failure in failures):
        raise Retry(defer=pause_s(ctx))


@retried
async def publish_catalog(ctx: dict[str, Any]) -> None:
    """Build the catalog if a package changed. Raises Retry until the pause after the last build is over."""
    schedule: Schedule = ctx["schedule"]
    if (pause_s := schedule.catalog.pause_left_s) > 0:
        raise Retry(defer=pause_s)
    await ctx["redis"].incr(catalog_count_key(schedule.settings))  # a change from now on needs another build
    await schedule.catalog.build()


@retried
async def publish_access(ctx: dict[str, Any]) -> None:
    """Publish which tokens may read. Queued when a token changes."""
    await ctx["schedule"].publish_access()


async def ask_witnesses(ctx: dict[str, Any]) -> None:
    """Begin to ask each witness for its cosignature, if it has not given it. Queued when the log grows."""
    ctx["schedule"].begin_asking()


@retried
async def deliver_webhooks(ctx: dict[str, Any]) -> None:
    """Begin to send what is due to webhooks. Queued after a publication, and for another attempt."""
    await ctx["schedule"].begin_deliveries()


async def purge_edge(ctx: dict[str, Any]) -> None:
    """Begin to have the edge drop what changed. Queued after a publication, and for another try."""
    ctx["schedule"].begin_purges()


@retried
async def remove_expired(ctx: dict[str, Any]) -> None:
    """Remove sessions and sign-in attempts that expired."""
    await ctx["schedule"].remove_expired()


async def begin_collection(ctx: dict[str, Any]) -> None:
    """Begin to collect what is left over in staging."""
    ctx["schedule"].begin_collection()


async def begin_scrub(ctx: dict[str, Any]) -> None:
    """Begin to compare archives with their checksums, if any is due."""
    ctx["schedule"].begin_scrub()


FUNCTIONS: Final[tuple[Function, ...]] = (
    func(publish_packages, name=PUBLISH_PACKAGES),
    func(publish_catalog, name=PUBLISH_CATALOG),
    func(ask_witnesses, name=ASK_WITNESSES),
    func(publish_access, name=PUBLISH_ACCESS),
    func(deliver_webhooks, name=DELIVER_WEBHOOKS),
    func(purge_edge, name=PURGE_EDGE),
)


def cron_jobs(settings: Settings) -> list[CronJob]:
    """The periodic work, at the start of a worker and then at fixed times; one worker does it each time.

    A cron job's id consists of its name and its time. The name carries the namespace, so that registries
    which share a Redis do not take each other's jobs for their own.
    """
    namespace = settings.redis_namespace
    witnesses = cron(
        ask_witnesses,
        name=f"{namespace}:ask_witnesses",
        second=set(range(0, 60, WITNESSES_EVERY_S)),
        run_at_startup=True,
    )
    return [
        cron(
            remove_expired,
            name=f"{namespace}:remove_expired",
            minute=set(range(0, 60, 10)),
            run_at_startup=True,
        ),
        cron(begin_collection, name=f"{namespace}:collect_staging", minute=30, run_at_startup=True),
        cron(begin_scrub, name=f"{namespace}:scrub", run_at_startup=True),
        *([witnesses] if settings.log_witnesses else []),
    ]


def _names(texts: Iterable[str]) -> Iterable[PackageName]:
    for text in texts:
        try:
            yield parse_name(text)
        except InvalidName:
            log.warning("job_unreadable", size_bytes=len(text))
