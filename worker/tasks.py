"""arq's jobs. A job may run twice, late or never; the schedule's sweep is what guarantees."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, TypeGuard

from arq import Retry
from structlog.contextvars import bound_contextvars

from indexer.metrics import PUBLICATION_FAILURES
from shared.errors import InvalidName, Unavailable
from shared.names import PackageName, parse_name
from shared.tracing import Carrier, span
from worker.schedule import Schedule

RETRY_S = 0.5


async def publish(ctx: dict[str, Any], names: list[str], traces: Mapping[str, Carrier]) -> None:
    """Publish packages. All are tried again while a dependency of one is away.

    ctx: `schedule` of this worker, and what arq adds. traces: of the changes behind the job, by package.
    """
    schedule: Schedule = ctx["schedule"]
    wanted = [name for name in names if _is_name(name)]  # whoever can write to Redis may have queued it
    carriers = [traces.get(name) for name in wanted]
    with bound_contextvars(job_id=ctx["job_id"]):
        outcomes = await asyncio.gather(
            *(_publish(schedule, *change) for change in zip(wanted, carriers, strict=True)),
            return_exceptions=True,
        )
    failures = [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
    for failure in failures:
        if isinstance(failure, Unavailable):
            PUBLICATION_FAILURES.labels(failure.code).inc()
            raise Retry(defer=RETRY_S * ctx["job_try"]) from failure
    for failure in failures:
        raise failure


def _is_name(value: object) -> TypeGuard[PackageName]:
    try:
        return isinstance(value, str) and bool(parse_name(value))
    except InvalidName:
        return False


async def _publish(schedule: Schedule, name: PackageName, trace: Carrier | None) -> None:
    with span("publish_package", trace, package=name):
        await schedule.publish(name)
