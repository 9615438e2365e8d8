"""Limits the upload bandwidth of each publisher with GCRA, the generic cell rate algorithm (ITU-T I.371).

A publisher may send a burst at full speed, then bytes at an even rate. Refused uploads count too, because
receiving and checking them costs as much. An upload above the rate is not refused; its connection is read
more slowly.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Final
from uuid import UUID

from shared.errors import RegistryError

# Added for each refused upload: even a small one was stored and checked.
REFUSAL_BYTES: Final = 512 * 1024

# Called with the size of each piece that arrived; returns when the next piece may be read.
Taking = Callable[[int], Awaitable[None]]


class Pace:
    """The throttle of one write process, over all uploads of each publisher."""

    def __init__(self, bytes_per_s: int, ahead_bytes: int) -> None:
        """bytes_per_s: the sustained rate; 0 is no limit. ahead_bytes: the burst allowance."""
        self._bytes_per_s = bytes_per_s
        self._ahead_s = ahead_bytes / bytes_per_s if bytes_per_s else 0.0
        # GCRA's theoretical arrival time of each publisher; the publisher that was idle longest comes first.
        self._paid_at: dict[UUID, float] = {}

    @contextmanager
    def upload(self, publisher: UUID) -> Iterator[Taking]:
        """Throttle one upload, from its first byte until its response is sent."""

        async def take(size_bytes: int) -> None:
            if (wait_s := self._count(publisher, size_bytes)) > 0:
                await asyncio.sleep(wait_s)

        try:
            yield take
        except RegistryError as error:
            if error.status < 500:
                self._count(publisher, REFUSAL_BYTES)
            raise

    def _count(self, publisher: UUID, size_bytes: int) -> float:
        """Count bytes. Seconds until the next piece may be read; 0 or less for now."""
        if not self._bytes_per_s:
            return 0.0
        now = time.monotonic()
        since = max(self._paid_at.pop(publisher, 0.0), now - self._ahead_s)
        self._paid_at[publisher] = paid_at = since + size_bytes / self._bytes_per_s
        self._forget_the_silent(now)
        return paid_at - now

    def _forget_the_silent(self, now: float) -> None:
        """Drop publishers whose whole burst allowance is available again."""
        while (first := next(iter(self._paid_at), None)) and self._paid_at[first] <= now - self._ahead_s:
            del self._paid_at[first]
