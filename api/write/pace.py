"""How fast a publisher's bytes are taken: at once up to an allowance, then evenly, so that others get on.

Nothing stops a publisher from being refused over and over, and each refusal costs the receiving and a
check. Who sends too fast is not refused for it: the connection is read more slowly.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Final
from uuid import UUID

from shared.errors import RegistryError

# What a refused upload counts for besides its bytes: however small, it was stored and checked.
REFUSAL_BYTES: Final = 512 * 1024

# Called with the size of each piece that came; returns when the next may be read.
Taking = Callable[[int], Awaitable[None]]


class Pace:
    """Of one write process, over all uploads of each publisher."""

    def __init__(self, bytes_per_s: int, ahead_bytes: int) -> None:
        """bytes_per_s: in the long run; 0: no limit. ahead_bytes: taken at once from who was silent."""
        self._bytes_per_s = bytes_per_s
        self._ahead_s = ahead_bytes / bytes_per_s if bytes_per_s else 0.0
        # When all that was taken is paid for at that rate; who sent nothing for longest comes first.
        self._paid_at: dict[UUID, float] = {}

    @contextmanager
    def upload(self, publisher: UUID) -> Iterator[Taking]:
        """For one upload, until it is answered."""

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
        """Count bytes; seconds until the next may be read, 0 or less: now."""
        if not self._bytes_per_s:
            return 0.0
        now = time.monotonic()
        since = max(self._paid_at.pop(publisher, 0.0), now - self._ahead_s)
        self._paid_at[publisher] = paid_at = since + size_bytes / self._bytes_per_s
        self._forget_the_silent(now)
        return paid_at - now

    def _forget_the_silent(self, now: float) -> None:
        """Drop those who have their whole allowance again."""
        while (first := next(iter(self._paid_at), None)) and self._paid_at[first] <= now - self._ahead_s:
            del self._paid_at[first]
