"""After a change is committed: wake a worker, and wait, bounded, until readers see it."""

from __future__ import annotations

from typing import Final
from uuid import UUID

from api.write.metrics import CHANGES
from api.write.services import Services

VISIBLE_HEADER: Final = "x-x07-index-published"


async def published(services: Services, name: str, package_id: UUID, generation: int) -> bool:
    """True if readers see the generation by now; false if it will follow."""
    with services.publications.awaiting(name, package_id, generation) as awaited:
        await services.notifier.wake_worker(name)
        is_visible = await services.publications.is_visible(awaited)
    CHANGES.labels("visible" if is_visible else "later").inc()
    return is_visible


def visible_header(is_visible: bool) -> dict[str, str]:
    """The response header that says whether readers see the change."""
    return {VISIBLE_HEADER: "true" if is_visible else "false"}
