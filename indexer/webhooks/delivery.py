"""Sends what is due to one webhook, and decides when an attempt that failed is made again."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import Final
from uuid import UUID

import structlog

from indexer.metrics import WEBHOOK_ATTEMPTS
from indexer.parts import Parts
from indexer.queries import webhooks as rows
from indexer.queries.webhooks import Due
from indexer.webhooks.message import body_of, headers_of
from indexer.webhooks.sender import TIMEOUT_S, Outcome, Sender
from shared.stop_points import stop_at

# Events of different packages that are on their way to a webhook at the same time.
AT_ONCE: Final = 8
# After this time, a worker that took an event and recorded no end is taken to be dead.
LEASE_S: Final = 3 * TIMEOUT_S
# Pauses: the first, doubled for each further one, and the longest. After a day, the webhook is failing.
FIRST_PAUSE_S: Final = 1.0
LONGEST_PAUSE_S: Final = 3600.0
TRIED_FOR_S: Final = 24 * 3600.0
# The sweep finds what is due later.
SOON_S: Final = 30.0

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Deliveries:
    """Sends events to webhooks. Several workers may do so at once."""

    parts: Parts
    sender: Sender

    async def hooks_due(self) -> list[UUID]:
        """The webhooks that something is due for. Raises DatabaseUnavailable."""
        async with self.parts.database.reading() as connection:
            return await rows.hooks_due(connection)

    async def deliver(self, hook_id: UUID) -> None:
        """Send everything that is due to a webhook. Raises DatabaseUnavailable."""
        while taken := await self._take(hook_id):
            stop_at("after_webhook_taken", self.parts.settings.test_stop_at)
            pauses = await asyncio.gather(*map(self._send, taken))
            if (pause_s := min((pause for pause in pauses if pause), default=None)) is not None:
                await self._come_back(pause_s)

    async def _take(self, hook_id: UUID) -> list[Due]:
        async with self.parts.database.reading() as connection:
            return await rows.take(connection, hook_id, AT_ONCE, LEASE_S)

    async def _send(self, due: Due) -> float | None:
        """Send an event and record how that ended. Returns the pause before another attempt, if any."""
        body = body_of(due)
        outcome = await self.sender.post(due.url, headers_of(due, body, int(time.time())), body)
        stop_at("after_webhook_sent", self.parts.settings.test_stop_at)
        WEBHOOK_ATTEMPTS.labels("arrived" if outcome.error is None else "failed").inc()
        if outcome.error is None and outcome.status is not None:
            async with self.parts.database.reading() as connection:
                await rows.arrived(connection, due, outcome.status)
            return None
        return await self._record_failure(due, outcome)

    async def _record_failure(self, due: Due, outcome: Outcome) -> float | None:
        pause, error = pause_s(due.attempts), outcome.error or "no answer"
        async with self.parts.database.reading() as connection:
            is_given_up = await rows.failed(
                connection, due, status=outcome.status, error=error, pause_s=pause, longest_s=TRIED_FOR_S
            )
        told = {"webhook_id": str(due.hook_id), "type": due.type, "attempts": due.attempts, "error": error}
        log.warning("webhook_failing" if is_given_up else "webhook_attempt_failed", **told)
        return None if due.is_test or is_given_up else pause

    async def _come_back(self, pause: float) -> None:
        if pause <= SOON_S:
            await self.parts.notifier.deliver_webhooks(pause)


def pause_s(attempts: int) -> float:
    """Seconds between this attempt, counted from 1, and the next one."""
    return min(FIRST_PAUSE_S * 2.0 ** min(attempts - 1, 30), LONGEST_PAUSE_S)
