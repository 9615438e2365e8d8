"""Concurrent calls, bounded in number; cancellation that waits for work, or that a library swallowed."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from typing import Any, Final, TypeVar

AT_ONCE: Final = 16
# How long work that is cut off may take to end in order.
FINISH_S: Final = 5.0

T = TypeVar("T")


async def together(*work: Coroutine[Any, Any, T], at_once: int = AT_ONCE) -> list[T]:
    """Run the calls, at most at_once at a time; their results in order.

    The first failure cancels the rest, and is raised as it is, with its cause.
    """
    if len(work) <= 1:
        return [await call for call in work]
    gate = asyncio.Semaphore(at_once)

    async def admitted(call: Coroutine[Any, Any, T]) -> T:
        async with gate:
            return await call

    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(call if len(work) <= at_once else admitted(call)) for call in work]
    except ExceptionGroup as failures:
        first = failures.exceptions[0]
        raise first from first.__cause__
    finally:
        for call in work:
            call.close()  # Python would warn of one that was cancelled before it began
    return [task.result() for task in tasks]


async def for_each(items: Iterable[T], work: Callable[[T], Awaitable[None]], *, at_once: int) -> None:
    """Do the work for each item, at most at_once at a time; items are taken as places become free.

    The first failure cancels the rest.
    """
    rest = iter(items)

    async def take() -> None:
        for item in rest:
            await work(item)

    await together(*(take() for _ in range(at_once)), at_once=at_once)


def raise_if_cancelled() -> None:
    """Raise CancelledError if this task was cancelled, even if a library swallowed the exception.

    redis-py enters asyncio.timeout(0) before each command; when a cancellation is on its way at that moment,
    the timeout takes it for its own, and redis-py goes on. A loop that runs until it is cancelled calls
    this function in every round.
    """
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError


async def finished(work: Coroutine[Any, Any, T]) -> T:
    """The result of the work. When cancelled, wait up to FINISH_S for the work before cancelling it.

    A publication that is cut off is repeated later; one that finishes releases its locks at once.
    """
    task = asyncio.create_task(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait({task}, timeout=FINISH_S)
        task.cancel()
        raise
