"""Counts attempts by sender over all processes, in Redis, without making requests wait for it.

A sender's first attempt in a minute is counted in Redis at once. Further ones are counted in this process,
and told to Redis together shortly afterwards; its answers tell what other processes have counted. So a sender
may exceed a limit by what it sends to other processes within SETTLE_S. While Redis is unavailable, attempts
are not counted.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Final, NamedTuple

import structlog

from shared.redis_client import REDIS_FAILURES, Pause, open_redis
from shared.settings import Settings

WINDOW_S: Final = 60
# A Redis that hangs delays a request by this long, once per pause.
TIMEOUT_S: Final = 0.1
PAUSE_AFTER_FAILURE_S: Final = 5.0
COMMANDS_AT_ONCE: Final = 16
SETTLE_S: Final = 0.2
MOST_SENDERS: Final = 10_000
# One command raises all counters by their amounts. It returns each count, and the seconds until it ends.
COUNT: Final = """
local answers = {}
for place, key in ipairs(KEYS) do
    answers[#answers + 1] = redis.call("INCRBY", key, ARGV[place + 1])
    if redis.call("TTL", key) < 0 then redis.call("EXPIRE", key, ARGV[1]) end
    answers[#answers + 1] = redis.call("TTL", key)
end
return answers
"""

log = structlog.get_logger()


class Counted(NamedTuple):
    """The state of a counter: attempts in this minute, and the seconds that are left of it."""

    attempts: int
    left_s: int


@dataclass(slots=True)
class _Known:
    """A counter as far as this process knows. ends_at: by the monotonic clock."""

    attempts: int
    ends_at: float


class AttemptCounts:
    """The counters of all senders."""

    def __init__(self, settings: Settings) -> None:
        self._redis = open_redis(settings, TIMEOUT_S)
        self._script = self._redis.register_script(COUNT)
        # Without the semaphore, a burst of requests would open as many connections.
        self._gate = asyncio.Semaphore(COMMANDS_AT_ONCE)
        self._pause = Pause(PAUSE_AFTER_FAILURE_S)
        self._known: dict[str, _Known] = {}
        self._untold: Counter[str] = Counter()
        self._telling: asyncio.Task[None] | None = None

    async def raise_by_one(self, keys: Sequence[str]) -> list[Counted]:
        """Count an attempt of each sender; their counters. An empty list while Redis is unavailable."""
        now = time.monotonic()
        known = [self._known.get(key) for key in keys]
        if self._pause.is_on or not all(count is not None and count.ends_at > now for count in known):
            return await self._told(dict.fromkeys(keys, 1))
        counts = [count for count in known if count is not None]
        for count in counts:
            count.attempts += 1
        self._untold.update(keys)
        if self._telling is None or self._telling.done():
            self._telling = asyncio.create_task(self._tell_later())
        return [Counted(count.attempts, ceil(count.ends_at - now)) for count in counts]

    async def _tell_later(self) -> None:
        while self._untold:
            await asyncio.sleep(SETTLE_S)
            await self._tell()

    async def _tell(self) -> None:
        amounts, self._untold = self._untold, Counter()
        if amounts:
            await self._told(amounts)

    async def _told(self, amounts: Mapping[str, int]) -> list[Counted]:
        """Raise the counters in Redis and return their states; an empty list while it is unavailable."""
        async with self._gate:
            if self._pause.is_on:
                return []
            try:
                answers = await self._script(list(amounts), [WINDOW_S, *amounts.values()])
            except REDIS_FAILURES as error:
                self._pause.begin()
                self._known.clear()
                log.warning("rate_limits_off", error=type(error).__name__)
                return []
        counted = [Counted(*pair) for pair in zip(answers[::2], answers[1::2], strict=True)]
        for key, count in zip(amounts, counted, strict=True):
            self._note(key, count)
        return counted

    def _note(self, key: str, counted: Counted) -> None:
        if len(self._known) >= MOST_SENDERS:
            self._known.clear()  # each sender's next attempt is counted in Redis at once
        now, before = time.monotonic(), self._known.get(key)
        attempts = counted.attempts + self._untold[key]
        if before is not None and before.ends_at > now:
            attempts = max(attempts, before.attempts)  # answers may overtake each other
        self._known[key] = _Known(attempts, now + counted.left_s)

    async def close(self) -> None:
        """Tell Redis what it was not told yet, and close every connection."""
        if self._telling is not None:
            self._telling.cancel()
            await asyncio.gather(self._telling, return_exceptions=True)
        await self._tell()
        await self._redis.aclose(close_connection_pool=True)
