"""arq's jobs. A job may run twice, late or never; the schedule's sweep is what guarantees."""

from __future__ import annotations

from typing import Any

from arq import Retry
from structlog.contextvars import bound_contextvars

from indexer.metrics import PUBLICATION_FAILURES
from indexer.publication import Parts, publish_package
from shared.errors import Unavailable
from shared.jobs import PUBLISH_PACKAGE
from shared.names import PackageName
from shared.tracing import Carrier, span
from worker.schedule import Schedule

RETRY_S = 0.5


async def publish(ctx: dict[str, Any], name: str, generation: int, *, trace: Carrier | None = None) -> None:
    """Publish a package; generation only makes the job's id. Tried again while a dependency is away.

    ctx: `parts` and `schedule` of this worker, and what arq adds. trace: of the change behind the job.
    """
    parts: Parts = ctx["parts"]
    schedule: Schedule = ctx["schedule"]
    with bound_contextvars(job_id=ctx["job_id"]), span(PUBLISH_PACKAGE, trace, package=name):
        try:
            await publish_package(parts, PackageName(name))
        except Unavailable as error:
            PUBLICATION_FAILURES.labels(error.code).inc()
            raise Retry(defer=RETRY_S * ctx["job_try"]) from error
    schedule.catalog_changed()
