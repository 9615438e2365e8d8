"""Bounds the connections of one server, so that idle, half-sent and slow ones do not add up.

A sweep every second closes connections that waited too long. The limits on number and bytes act at once.
"""

from __future__ import annotations

import asyncio
import resource
import time
from collections.abc import Collection
from typing import Final, Protocol

# An idle connection takes some 8 KiB; in the read tier, if only the fast path served it, 1 KiB.
MAX_CONNECTIONS: Final = 2048
# For files, and for sockets to storage, database and Redis.
OTHER_DESCRIPTORS: Final = 256
# Bytes that all clients together may make us hold: incomplete or unanswered heads, and unsent answers.
MAX_HELD_BYTES: Final = 8 << 20
# Rate for unread bodies over all connections; an archive of the largest size takes a second.
DROPPED_BYTES_PER_S: Final = 64 << 20
SWEEP_S: Final = 1.0
# At the limit, this share of the idle connections is closed, those that are idle longest first.
SHARE_TO_CLOSE: Final = 8


class Connection(Protocol):
    """The methods of a connection that Connections calls."""

    @property
    def idle_since(self) -> float | None:
        """Since when the connection is idle, in monotonic seconds;

        None while a request is sent or answered.
        """

    def sweep(self, now: float) -> None:
        """Close the connection if it waited too long. now: monotonic seconds."""

    def abort(self) -> None:
        """Drop the connection with everything unsent."""


class Connections:
    """The live connections of one server."""

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
        """Note a new connection; close idle ones if there are too many."""
        if self._sweeper is None:
            self._sweeper = self._loop.call_later(SWEEP_S, self._sweep)
        if len(self._live) > self.limit:
            self._make_room()

    def holds(self, connection: Connection, size_bytes: int) -> None:
        """Note how many bytes a connection makes us hold.

        If all together hold too many, drop the oldest holders.
        """
        self._held_bytes += size_bytes - self._held.pop(connection, 0)
        if size_bytes:
            self._held[connection] = size_bytes
        while self._held_bytes > MAX_HELD_BYTES:
            slowest, its_bytes = next(iter(self._held.items()))
            del self._held[slowest]
            self._held_bytes -= its_bytes
            slowest.abort()

    def dropped(self, size_bytes: int) -> float:
        """Note bytes of an unread body. Returns the seconds until the connection may read on."""
        now = time.monotonic()
        self._dropped_until = max(self._dropped_until, now) + size_bytes / DROPPED_BYTES_PER_S
        return self._dropped_until - now

    def _sweep(self) -> None:
        now = time.monotonic()
        for connection in list(self._live):
            connection.sweep(now)
        self._sweeper = self._loop.call_later(SWEEP_S, self._sweep) if self._live else None

    def _make_room(self) -> None:
        """Close the connections that are idle longest; the newest itself if all others are busy."""
        idle = [(since, one) for one in self._live if (since := one.idle_since) is not None]
        idle.sort(key=lambda pair: pair[0])
        for _, connection in idle[: max(len(idle) // SHARE_TO_CLOSE, 1)]:
            connection.abort()
