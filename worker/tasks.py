"""arq's jobs. A job may run twice, late or never; the schedule's sweep is what guarantees."""

from __future__ import annotations

from typing import Any

from arq import Retry

from indexer.publication import Parts, publish_package
from shared.errors import Unavailable
from shared.names import PackageName
from worker.schedule import Schedule

RETRY_S = 0.5


async def publish(ctx: dict[str, Any], name: str, generation: int) -> None:
    """Publish a package; generation only makes the job's id. Tried again while a dependency is away.

    ctx: `parts` and `schedule` of this worker, and what arq adds.
    """
    parts: Parts = ctx["parts"]
    schedule: Schedule = ctx["schedule"]
    try:
        await publish_package(parts, PackageName(name))
    except Unavailable as error:
        raise Retry(defer=RETRY_S * ctx["job_try"]) from error
    schedule.catalog_changed()
