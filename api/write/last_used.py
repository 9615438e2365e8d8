"""tokens.last_used_at, written off the request's path: first within a second, then once a minute."""

from __future__ import annotations

import asyncio
import time
from uuid import UUID

import structlog

from api.write.queries import tokens
from shared.database import Database
from shared.errors import RegistryError

FLUSH_S = 0.5
REPEAT_S = 60.0
REMEMBERED = 10_000

log = structlog.get_logger()


class LastUsed:
    """Remembers which tokens were used and writes them in batches."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._written: dict[UUID, float] = {}
        self._waiting: set[UUID] = set()

    def record(self, token_id: UUID) -> None:
        """The token was used just now."""
        if time.monotonic() - self._written.get(token_id, -REPEAT_S) >= REPEAT_S:
            self._waiting.add(token_id)

    async def run(self) -> None:
        """Write what was recorded, for ever; a failed batch waits for the next turn."""
        while True:
            await asyncio.sleep(FLUSH_S)
            try:
                await self.flush()
            except RegistryError as error:
                log.warning("last_used_not_written", code=error.code)

    async def flush(self) -> None:
        """Write what was recorded, in one statement. Raises DatabaseUnavailable."""
        batch = list(self._waiting)
        if not batch:
            return
        async with self._database.transaction() as tx:
            await tokens.set_last_used(tx, batch)
        now = time.monotonic()
        if len(self._written) > REMEMBERED:
            self._written.clear()
        self._written.update(dict.fromkeys(batch, now))
        self._waiting.difference_update(batch)
