"""Keeps services running: starts them together, restarts those that die, and stops them together."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import structlog

from deploy.errors import StartFailed
from deploy.local.service import Service

FIRST_PAUSE_S = 0.1
LONGEST_PAUSE_S = 5.0
STEADY_AFTER_S = 10.0

log = structlog.get_logger()


@asynccontextmanager
async def keep_running(*services: Service) -> AsyncIterator[None]:
    """Run the services while the block runs. Raises StartFailed if one does not start at all."""
    try:
        await _start_all(services)
        async with asyncio.TaskGroup() as group:
            keepers = [group.create_task(_keep(service)) for service in services]
            yield
            for keeper in keepers:
                keeper.cancel()
    except ExceptionGroup as failures:  # the block's own exception, wrapped by the group
        raise failures.exceptions[0] from None
    finally:
        await asyncio.gather(*(service.stop() for service in services))


async def _start_all(services: tuple[Service, ...]) -> None:
    """Start all services at once. Raises the first failure."""
    outcomes = await asyncio.gather(*(service.start() for service in services), return_exceptions=True)
    for outcome in outcomes:
        if outcome is not None:
            raise outcome


async def _keep(service: Service) -> None:
    """Restart the service whenever it ends, with longer pauses if it keeps ending."""
    pause_s = FIRST_PAUSE_S
    while True:
        since = time.monotonic()
        how = await service.ended()
        if time.monotonic() - since > STEADY_AFTER_S:
            pause_s = FIRST_PAUSE_S
        log.warning("process_ended", process=service.name, how=how, next_start_s=pause_s)
        await asyncio.sleep(pause_s)
        pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
        try:
            await service.start()
        except StartFailed as error:
            log.error("process_not_started", process=service.name, reason=str(error))
        else:
            log.info("process_started", process=service.name, pid=service.pid)
