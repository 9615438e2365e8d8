"""Busy packages: changes take turns in a process, and wait while another process holds the package."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Final, TypeVar

from shared.errors import PackageBusy

# How long a change waits for other changes of its package, and the pauses between its attempts.
BUSY_DEADLINE_S: Final = 10.0
FIRST_PAUSE_S: Final = 0.01
MAX_PAUSE_S: Final = 0.25

T = TypeVar("T")


async def until_free(attempt: Callable[[], Awaitable[T]]) -> T:
    """Call `attempt` until its package is free, with growing pauses; return its result.

    No connection is held during a pause. Raises PackageBusy after BUSY_DEADLINE_S.
    """
    now = asyncio.get_running_loop().time
    deadline, pause_s = now() + BUSY_DEADLINE_S, FIRST_PAUSE_S
    while True:
        try:
            return await attempt()
        except PackageBusy:
            if now() + pause_s > deadline:
                raise
        await asyncio.sleep(pause_s)
        pause_s = min(2 * pause_s, MAX_PAUSE_S)


class Turns:
    """Lets changes of a package take turns in a process, so that they hold one connection at most."""

    def __init__(self) -> None:
        self._waiting: defaultdict[str, int] = defaultdict(int)
        self._turns: dict[str, asyncio.Lock] = {}

    @asynccontextmanager
    async def of(self, name: str) -> AsyncIterator[None]:
        """Wait for a turn at the package. Raises PackageBusy after BUSY_DEADLINE_S."""
        turn = self._turns.setdefault(name, asyncio.Lock())
        self._waiting[name] += 1
        try:
            try:
                async with asyncio.timeout(BUSY_DEADLINE_S):
                    await turn.acquire()
            except TimeoutError:
                raise PackageBusy from None
            try:
                yield
            finally:
                turn.release()
        finally:
            self._waiting[name] -= 1
            if not self._waiting[name]:
                del self._waiting[name], self._turns[name]
