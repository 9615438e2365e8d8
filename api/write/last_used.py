"""Records in the background when credentials were last used.

The first use is written within a second, later ones at most once a minute.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from uuid import UUID

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.database import Database
from shared.errors import RegistryError

FLUSH_S = 0.5
REPEAT_S = 60.0
REMEMBERED = 10_000

Write = Callable[[AsyncConnection, Sequence[UUID]], Awaitable[None]]

log = structlog.get_logger()


class LastUsed:
    """Remembers which tokens or sessions were used and writes them in batches."""

    def __init__(self, database: Database, write: Write) -> None:
        """write: sets the last use of these ids to the present time, in one statement."""
        self._database = database
        self._write = write
        self._written: dict[UUID, float] = {}
        self._waiting: set[UUID] = set()

    def record(self, used: UUID) -> None:
        """Record that the credential was used just now."""
        if time.monotonic() - self._written.get(used, -REPEAT_S) >= REPEAT_S:
            self._waiting.add(used)

    async def run(self) -> None:
        """Write what was recorded, until cancelled. A batch that fails is tried again in the next round."""
        while True:
            await asyncio.sleep(FLUSH_S)
            await self.write()

    async def write(self) -> None:
        """Write what was recorded. A failure is only logged, so that no request fails because of it."""
        try:
            await self.flush()
        except RegistryError as error:
            log.warning("last_used_not_written", code=error.code)

    async def flush(self) -> None:
        """Write everything recorded so far, in one statement. Raises DatabaseUnavailable."""
        batch = list(self._waiting)
        if not batch:
            return
        async with self._database.transaction() as tx:
            await self._write(tx, batch)
        now = time.monotonic()
        if len(self._written) > REMEMBERED:
            self._written.clear()
        self._written.update(dict.fromkeys(batch, now))
        self._waiting.difference_update(batch)
