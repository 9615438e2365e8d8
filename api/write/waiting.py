"""Read-your-writes: a publish waits, bounded, until readers can see it.

A change message ends the wait at once; without Redis the database is asked now and then.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from uuid import UUID

from api.write.queries import packages
from shared.batching import Batcher
from shared.database import Database
from shared.errors import RegistryError
from shared.jobs import Change

POLL_S = 0.25
A_BATCH = 100


class Awaited:
    """One publish that waits for one generation of one package."""

    def __init__(self, package_id: UUID, generation: int) -> None:
        self.package_id = package_id
        self.generation = generation
        self.published = asyncio.Event()


class Publications:
    """Publishes of this process that wait to be visible."""

    def __init__(self, database: Database, wait_s: float) -> None:
        self._database = database
        # Of many that wait the database is asked in one statement.
        self._stored: Batcher[UUID, int] = Batcher(self._ask, largest=A_BATCH)
        self._wait_s = wait_s
        self._awaited: defaultdict[str, set[Awaited]] = defaultdict(set)

    def apply(self, change: Change) -> None:
        """A worker says what it published."""
        for package, generation in change.generations.items():
            for awaited in self._awaited.get(package, ()):
                if generation >= awaited.generation:
                    awaited.published.set()

    @contextmanager
    def awaiting(self, name: str, package_id: UUID, generation: int) -> Iterator[Awaited]:
        """Listen from before the worker is woken, so that no message is missed."""
        awaited = Awaited(package_id, generation)
        self._awaited[name].add(awaited)
        try:
            yield awaited
        finally:
            self._awaited[name].discard(awaited)
            if not self._awaited[name]:
                del self._awaited[name]

    async def is_visible(self, awaited: Awaited) -> bool:
        """Wait until readers see the generation, at most the configured time; whether they do.

        The change is committed: whatever fails here, it is acknowledged.
        """
        try:
            async with asyncio.timeout(self._wait_s):
                while not await self._heard_or_stored(awaited):
                    pass
        except (TimeoutError, RegistryError):
            return False
        return True

    async def close(self) -> None:
        """Wait for what is under way."""
        await self._stored.close()

    async def _heard_or_stored(self, awaited: Awaited) -> bool:
        try:
            async with asyncio.timeout(POLL_S):
                await awaited.published.wait()
                return True
        except TimeoutError:
            return await self._stored.submit(awaited.package_id) >= awaited.generation

    async def _ask(self, package_ids: Sequence[UUID]) -> Sequence[int]:
        async with self._database.reading() as tx:
            stored = await packages.published_generations(tx, package_ids)
        return [stored.get(package_id, 0) for package_id in package_ids]
