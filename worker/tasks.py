"""arq's jobs. A job may run twice, late or never; the schedule's sweep is what guarantees."""

from __future__ import annotations

from typing import TypedDict

from arq import Retry

from indexer.publication import Parts, publish_package
from shared.errors import Unavailable
from worker.schedule import Schedule

RETRY_S = 0.5


class WorkerContext(TypedDict):
    """What arq hands to each job."""

    parts: Parts
    schedule: Schedule
    job_try: int


async def publish(ctx: WorkerContext, name: str, generation: int) -> None:
    """Publish a package; generation only makes the job's id. Tried again while a dependency is away."""
    try:
        await publish_package(ctx["parts"], name)
    except Unavailable as error:
        raise Retry(defer=RETRY_S * ctx["job_try"]) from error
    ctx["schedule"].catalog_changed()
