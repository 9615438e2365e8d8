"""Read-your-writes: after a commit, wake a worker and wait, for a limited time, until readers see the change.

A change message says that storage has the change; readers then answer when they have dropped their cached
copies. Without Redis no process hears messages, so the database is asked every POLL_S what was published.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final
from uuid import UUID

from api.write.drops import PATIENCE_S, Drops
from api.write.metrics import CHANGES
from api.write.queries import packages
from shared.batching import Batcher
from shared.change_listener import WriterListener
from shared.database import Database
from shared.errors import RegistryError
from shared.messages import Change, Dropped, Notifier
from shared.redis_client import REDIS_FAILURES
from shared.settings import Settings

VISIBLE_HEADER: Final = "x-x07-index-published"
POLL_S: Final = 0.25
MAX_QUESTIONS_PER_STATEMENT: Final = 100


def visible_header(is_visible: bool) -> dict[str, str]:
    """The response header that says whether readers see the change."""
    return {VISIBLE_HEADER: "true" if is_visible else "false"}


class Awaited:
    """A change that waits until readers see a generation of its package.

    is_announced: set when a change message has arrived; are_dropped then says when readers have followed.
    """

    def __init__(self, package_id: UUID, generation: int) -> None:
        self.package_id = package_id
        self.generation = generation
        self.is_announced = asyncio.Event()
        self.are_dropped: asyncio.Future[bool] | None = None


class Visibility:
    """The changes of this process that are not yet known to be visible to readers."""

    def __init__(self, settings: Settings, database: Database, notifier: Notifier) -> None:
        self._database = database
        self._notifier = notifier
        self._drops = Drops()
        self.listener = WriterListener(settings, self.apply, self._drops.apply)
        # One statement asks for all changes that wait at the time.
        self._stored: Batcher[UUID, int] = Batcher(self._ask, largest=MAX_QUESTIONS_PER_STATEMENT)
        self._wait_s = settings.publish_wait_seconds
        self._awaited: defaultdict[str, set[Awaited]] = defaultdict(set)

    def apply(self, change: Change) -> None:
        """Note which packages a worker has published, and which readers will answer."""
        heard = [
            awaited
            for package, generation in change.generations.items()
            for awaited in self._awaited.get(package, ())
            if generation >= awaited.generation and not awaited.is_announced.is_set()
        ]
        are_dropped = self._drops.expect(change) if heard else None
        for awaited in heard:
            awaited.are_dropped = are_dropped
            awaited.is_announced.set()

    def apply_here(self, change: Change, dropped: Dropped) -> bool:
        """Note a change, and that the reader in this process has followed it: no message has to tell so.

        True if this writer receives messages itself.
        """
        self.apply(change)
        self._drops.apply(dropped)
        return self.listener.is_hearing

    async def wake_and_wait(self, name: str, package_id: UUID, generation: int) -> bool:
        """Wake a worker; True if readers see the generation within the configured time.

        The change is already committed, so it is acknowledged even if an error occurs here.
        """
        with self._awaiting(name, package_id, generation) as awaited:
            await self._notifier.wake_worker(name)
            is_visible = await self._is_visible(awaited)
        CHANGES.labels("visible" if is_visible else "later").inc()
        return is_visible

    async def close(self) -> None:
        """Wait for questions that are in progress."""
        await self._stored.close()

    @contextmanager
    def _awaiting(self, name: str, package_id: UUID, generation: int) -> Iterator[Awaited]:
        """Registers before the worker is woken, so that no message is missed."""
        awaited = Awaited(package_id, generation)
        self._awaited[name].add(awaited)
        try:
            yield awaited
        finally:
            self._awaited[name].discard(awaited)
            if not self._awaited[name]:
                del self._awaited[name]

    async def _is_visible(self, awaited: Awaited) -> bool:
        try:
            async with asyncio.timeout(self._wait_s):
                while not await self._is_published(awaited):
                    pass
                return await self._have_readers_dropped(awaited)
        except (TimeoutError, RegistryError):
            return False

    async def _is_published(self, awaited: Awaited) -> bool:
        """Wait a limited time for a message; without one, ask the database."""
        try:
            async with asyncio.timeout(POLL_S):
                return await awaited.is_announced.wait()
        except TimeoutError:
            return await self._stored.submit(awaited.package_id) >= awaited.generation

    async def _have_readers_dropped(self, awaited: Awaited) -> bool:
        """True if no reader that hears messages still serves an older copy. Raises TimeoutError."""
        if not self.listener.is_hearing and awaited.are_dropped is None:
            return not await self._is_redis_there()
        async with asyncio.timeout(PATIENCE_S):
            await awaited.is_announced.wait()
        return awaited.are_dropped is None or await asyncio.shield(awaited.are_dropped)

    async def _is_redis_there(self) -> bool:
        """True if Redis answers: readers may then hear messages that this process has not heard."""
        try:
            await self._notifier.check()
        except REDIS_FAILURES:
            return False
        return True

    async def _ask(self, package_ids: Sequence[UUID]) -> Sequence[int]:
        async with self._database.reading() as tx:
            stored = await packages.published_generations(tx, package_ids)
        return [stored.get(package_id, 0) for package_id in package_ids]
