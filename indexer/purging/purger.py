"""Purges what is due, in the order in which it became due, and repeats what fails.

Each key is purged twice. The second purge, a moment later, drops a copy that an edge was fetching before
the change and stored after the first one.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

import httpx
import structlog

from indexer.metrics import PURGES
from indexer.parts import Parts
from indexer.purging.requests import PurgeRequest, requests_for
from indexer.queries import purges as rows
from indexer.queries.purges import Purge
from shared.http.authorities import trusted_authorities
from shared.stop_points import stop_at

KEYS_AT_ONCE: Final = 256
TIMEOUT_S: Final = 10.0
LEASE_S: Final = 3 * TIMEOUT_S
# Longer than an edge takes to fetch a small file.
AGAIN_S: Final = 3.0
# The longest pause between tries; the first one takes a second.
LONGEST_PAUSE_S: Final = 60.0

log = structlog.get_logger()


class PurgeFailed(Exception):
    """An edge did not take a purge. The message says why, without the secret."""


@dataclass(frozen=True, slots=True)
class Purger:
    """Purges over a client."""

    parts: Parts
    client: httpx.AsyncClient

    async def turn(self) -> None:
        """Purge everything that is due. Raises DatabaseUnavailable."""
        while taken := await self._take():
            stop_at("before_purge", self.parts.settings.test_stop_at)
            try:
                await self._purge([purge.surrogate_key for purge in taken])
            except PurgeFailed as error:
                await self._put_off(taken, error)
            else:
                stop_at("after_purge", self.parts.settings.test_stop_at)
                await self._record(taken)

    async def _take(self) -> list[Purge]:
        async with self.parts.database.reading() as connection:
            return await rows.take(connection, KEYS_AT_ONCE, LEASE_S)

    async def _purge(self, keys: list[str]) -> None:
        requests = requests_for(self.parts.settings, sorted(keys))
        results = await asyncio.gather(*map(self._send, requests), return_exceptions=True)
        for failure in results:
            if isinstance(failure, BaseException):
                raise failure

    async def _send(self, request: PurgeRequest) -> None:
        try:
            async with asyncio.timeout(TIMEOUT_S):
                answer = await self.client.request(
                    request.method, request.url, headers=request.headers, content=request.body
                )
        except (httpx.HTTPError, httpx.InvalidURL, TimeoutError) as error:
            raise PurgeFailed(f"no answer: {type(error).__name__}") from error
        if not answer.is_success:
            raise PurgeFailed(f"status {answer.status_code}")

    async def _record(self, taken: list[Purge]) -> None:
        PURGES.labels("done").inc(len(taken))
        async with self.parts.database.reading() as connection:
            has_more = await rows.done(connection, taken, AGAIN_S)
        if has_more:
            await self.parts.notifier.purge_edge(AGAIN_S)

    async def _put_off(self, taken: list[Purge], error: PurgeFailed) -> None:
        PURGES.labels("failed").inc(len(taken))
        pause_s = min(2.0 ** (min(purge.attempts for purge in taken) - 1), LONGEST_PAUSE_S)
        log.warning("purge_failed", reason=str(error), keys=len(taken), pause_s=pause_s)
        async with self.parts.database.reading() as connection:
            await rows.failed(connection, taken, pause_s)
        await self.parts.notifier.purge_edge(pause_s)


@asynccontextmanager
async def open_purger(parts: Parts) -> AsyncIterator[Purger | None]:
    """The purger of the edge in the settings; None if there is none."""
    if not parts.settings.purges:
        yield None
        return
    async with httpx.AsyncClient(
        timeout=TIMEOUT_S, verify=trusted_authorities(), follow_redirects=False
    ) as client:
        yield Purger(parts, client)
