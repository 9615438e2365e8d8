"""The connections of one server, held within bounds: idle, half-heard and slow ones do not add up.

A sweep each second closes what waited too long; the limits on number and on bytes act at once.
"""

from __future__ import annotations

import asyncio
import resource
import time
from collections.abc import Collection
from typing import Final, Protocol

# An idle one takes some 8 KiB; of the read tier, where it was only answered fast, one.
MAX_CONNECTIONS: Final = 2048
# Files, sockets to storage, database and queue.
OTHER_DESCRIPTORS: Final = 256
# What clients make us hold together: half-sent or unanswered heads, and bytes that they do not take.
MAX_HELD_BYTES: Final = 8 << 20
# Of bodies that nobody reads, over all connections: an archive of the largest size takes a second.
DROPPED_BYTES_PER_S: Final = 64 << 20
SWEEP_S: Final = 1.0
# At the limit, this share of the idle connections makes room, the longest idle first.
SHARE_TO_CLOSE: Final = 8


class Connection(Protocol):
    """What the book-keeping needs of a connection."""

    @property
    def idle_since(self) -> float | None:
        """Monotonic seconds since when nothing is asked or half asked; None while something is."""

    def sweep(self, now: float) -> None:
        """Close it if it waited too long. now: monotonic seconds."""

    def abort(self) -> None:
        """Drop it with all that is unsent."""


class Connections:
    """Book-keeping over the live connections of one server."""

    def __init__(self, live: Collection[Connection], loop: asyncio.AbstractEventLoop) -> None:
        """live: kept up to date by the server."""
        self._live = live
        self._loop = loop
        self._held: dict[Connection, int] = {}
        self._held_bytes = 0
        self._dropped_until = 0.0
        self._sweeper: asyncio.TimerHandle | None = None
        descriptors = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        self.limit = min(MAX_CONNECTIONS, max(descriptors - OTHER_DESCRIPTORS, 1))

    def opened(self) -> None:
        """A connection was added; makes room if there are too many."""
        if self._sweeper is None:
            self._sweeper = self._loop.call_later(SWEEP_S, self._sweep)
        if len(self._live) > self.limit:
            self._make_room()

    def holds(self, connection: Connection, size_bytes: int) -> None:
        """A connection makes us hold this much now; those that do so the longest go if all hold too much."""
        self._held_bytes += size_bytes - self._held.pop(connection, 0)
        if size_bytes:
            self._held[connection] = size_bytes
        while self._held_bytes > MAX_HELD_BYTES:
            slowest, its_bytes = next(iter(self._held.items()))
            del self._held[slowest]
            self._held_bytes -= its_bytes
            slowest.abort()

    def dropped(self, size_bytes: int) -> float:
        """Bytes of a body came that nobody reads; seconds until their connection may read on."""
        now = time.monotonic()
        self._dropped_until = max(self._dropped_until, now) + size_bytes / DROPPED_BYTES_PER_S
        return self._dropped_until - now

    def _sweep(self) -> None:
        now = time.monotonic()
        for connection in list(self._live):
            connection.sweep(now)
        self._sweeper = self._loop.call_later(SWEEP_S, self._sweep) if self._live else None

    def _make_room(self) -> None:
        """Close the longest idle. The newest is idle too: if all others are busy, it is the one."""
        idle = [(since, one) for one in self._live if (since := one.idle_since) is not None]
        idle.sort(key=lambda pair: pair[0])
        for _, connection in idle[: max(len(idle) // SHARE_TO_CLOSE, 1)]:
            connection.abort()
