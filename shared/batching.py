"""Work that comes while other work is under way waits for it and is then done together, as one batch.

A caller alone never waits for another; many at once share the cost of a round trip, a commit or a flush.
Behind a batch that had company the next one may wait a moment for more, like commit_delay of Postgres.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Final, Generic, TypeVar

A_MOMENT_S: Final = 0.004

T = TypeVar("T")
R = TypeVar("R")


class Batcher(Generic[T, R]):
    """Collects items and works on them a batch at a time.

    work: gets the items of a batch in the order in which they came; gives an outcome for each, in
    that order: a result, or the exception that its caller gets. What it raises, all of them get.
    """

    def __init__(
        self,
        work: Callable[[list[T]], Awaitable[Sequence[R | Exception]]],
        *,
        largest: int,
        at_once: int = 1,
        linger_s: float = 0.0,
    ) -> None:
        """largest: items of a batch, at most. at_once: batches under way, at most.

        linger_s: how long a batch waits for more, behind one that had company.
        """
        self._work = work
        self._largest = largest
        self._at_once = at_once
        self._linger_s = linger_s
        self._waiting: deque[tuple[T, asyncio.Future[R]]] = deque()
        self._running: set[asyncio.Task[None]] = set()

    async def submit(self, item: T) -> R:
        """Have the item worked on; its result. When the caller is cancelled the work still ends."""
        outcome: asyncio.Future[R] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, outcome))
        if len(self._running) < self._at_once:
            # It begins when this turn of the event loop is over, with all that comes until then.
            task = asyncio.create_task(self._run())
            self._running.add(task)
            task.add_done_callback(self._running.discard)
        return await outcome

    async def close(self, within_s: float | None = None) -> None:
        """Wait until nothing is left to do; what is not done within so many seconds is cancelled."""
        with suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                while self._running:
                    await asyncio.wait(self._running)
        for late in self._running:
            late.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)

    async def _run(self) -> None:
        while batch := [self._waiting.popleft() for _ in range(min(self._largest, len(self._waiting)))]:
            await self._settle(batch)
            if len(batch) > 1 and len(self._waiting) < self._largest:
                await asyncio.sleep(self._linger_s)
        # Now, not with the task's end, which is announced a turn later: what is submitted in between
        # would wait for a task that does nothing any more.
        if (task := asyncio.current_task()) is not None:
            self._running.discard(task)

    async def _settle(self, batch: list[tuple[T, asyncio.Future[R]]]) -> None:
        try:
            outcomes = await self._work([item for item, _ in batch])
        except Exception as error:
            outcomes = [error] * len(batch)
        except asyncio.CancelledError:
            for _, outcome in batch:
                outcome.cancel()
            raise
        for (_, outcome), value in zip(batch, outcomes, strict=True):
            if outcome.done():  # its caller is gone
                continue
            if isinstance(value, Exception):
                outcome.set_exception(value)
            else:
                outcome.set_result(value)
