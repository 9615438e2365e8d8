"""Batches: items that arrive while a batch is under way are worked on together in the next batch.

A single caller never waits for others; concurrent callers share the cost of a round trip, a commit or a
flush. After a batch of several items, the next batch may wait briefly for more, like commit_delay of
Postgres.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from contextvars import Context, copy_context
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

import structlog
from structlog.contextvars import bound_contextvars, clear_contextvars, get_contextvars

from shared.errors import Unavailable

# How long a batch waits for more items after a batch that had several.
COMPANY_WAIT_S: Final = 0.004

T = TypeVar("T")
R = TypeVar("R")

log = structlog.get_logger()


async def together_or_apart(
    work: Callable[[Sequence[T]], Awaitable[Sequence[R | Exception]]], items: Sequence[T]
) -> list[R | Exception]:
    """The outcomes of work on several items; if all fail for what may be one's fault, of work on each alone.

    work: as for Batcher. When a dependency is out of reach, which is nobody's fault, all fail with that.
    """
    try:
        return list(await work(items))
    except Exception as error:
        if isinstance(error, Unavailable) or len(items) == 1:
            return [error] * len(items)
        log.warning("batch_failed", items=len(items), error=type(error).__name__)
    return [outcome for item in items for outcome in await together_or_apart(work, [item])]


@dataclass(frozen=True, slots=True)
class _Waiting(Generic[T, R]):
    """An item, and where its outcome goes. request_id: of the caller, for the log; None without a request."""

    item: T
    outcome: asyncio.Future[R]
    request_id: str | None


class Batcher(Generic[T, R]):
    """Collects items and works on them a batch at a time.

    work: receives the items of a batch in the order of their arrival, and returns an outcome for each in the
    same order: a result, or the exception that its caller gets. If it raises, every caller gets the
    exception.
    """

    def __init__(
        self,
        work: Callable[[list[T]], Awaitable[Sequence[R | Exception]]],
        *,
        largest: int,
        at_once: int = 1,
        linger_s: float = 0.0,
    ) -> None:
        """largest: most items in a batch. at_once: most batches under way.

        linger_s: how long a batch waits for more items after a batch of several.
        """
        self._work = work
        self._largest = largest
        self._at_once = at_once
        self._linger_s = linger_s
        self._waiting: deque[_Waiting[T, R]] = deque()
        self._running: set[asyncio.Task[None]] = set()

    async def submit(self, item: T) -> R:
        """Have the item worked on and return its result. The work continues if the caller is cancelled."""
        outcome: asyncio.Future[R] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Waiting(item, outcome, get_contextvars().get("request_id")))
        if len(self._running) < self._at_once:
            # The batch begins after this turn of the event loop, with everything that was submitted until
            # then.
            task = asyncio.create_task(self._run(), context=_nobodys_context())
            self._running.add(task)
            task.add_done_callback(self._running.discard)
        return await outcome

    async def close(self, within_s: float | None = None) -> None:
        """Wait until all work is done; cancel what is not done within this many seconds."""
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

    async def _settle(self, batch: list[_Waiting[T, R]]) -> None:
        request_ids = [waiting.request_id for waiting in batch if waiting.request_id]
        try:
            with bound_contextvars(**{"request_ids": request_ids} if request_ids else {}):
                outcomes = await self._work([waiting.item for waiting in batch])
        except Exception as error:
            outcomes = [error] * len(batch)
        except asyncio.CancelledError:
            for waiting in batch:
                waiting.outcome.cancel()
            raise
        for waiting, value in zip(batch, outcomes, strict=True):
            if waiting.outcome.done():  # the caller was cancelled
                continue
            if isinstance(value, Exception):
                waiting.outcome.set_exception(value)
            else:
                waiting.outcome.set_result(value)


def _nobodys_context() -> Context:
    """The caller's context, for tracing, without what its log lines carry: the batch is not its alone."""
    context = copy_context()
    context.run(clear_contextvars)
    return context
