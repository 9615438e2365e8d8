"""Limits how slowly a client may send a request body (an archive or JSON).

A client that sends a byte now and then could hold a connection forever, and with it a publish slot or one of
the process's concurrent requests. Only the time that the server waits for the client
counts: time spent in the upload throttle, on the disk or in the database does not.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from shared.errors import BodyTooSlow
from shared.settings import Settings

# A client may pause for this long before its average rate counts: a lost packet, a phone that wakes up.
GRACE_S: Final = 10.0


@dataclass(frozen=True, slots=True)
class BodyRate:
    """The lowest average rate in bytes a second (0: no limit), and the longest wait for a whole body."""

    min_bytes_per_s: int
    max_wait_s: float

    def allowed_wait_s(self, received_bytes: int) -> float:
        """How long the server waits, in all, for a client that has sent this many bytes."""
        if not self.min_bytes_per_s:
            return self.max_wait_s
        return min(GRACE_S + received_bytes / self.min_bytes_per_s, self.max_wait_s)

    def __str__(self) -> str:
        rate = f"at least {self.min_bytes_per_s} bytes a second, and " if self.min_bytes_per_s else ""
        return f"{rate}the whole body within {self.max_wait_s:g} s"


class BodyRateMiddleware:
    """Raises BodyTooSlow in the handler that reads a body whose client is below the rate."""

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self._app = app
        self._rate = BodyRate(settings.body_min_bytes_per_second, settings.body_seconds)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand on the request with a body whose rate is measured."""
        await self._app(scope, _TimedBody(receive, self._rate).receive, send)


class _TimedBody:
    """The body of one request."""

    def __init__(self, receive: Receive, rate: BodyRate) -> None:
        self._receive = receive
        self._rate = rate
        self._received_bytes = 0
        self._waited_s = 0.0
        self._is_whole = False

    async def receive(self) -> Message:
        """Receive the next part. Raises BodyTooSlow.

        After the last part there is no time limit, because only a disconnect can follow.
        """
        if self._is_whole:
            return await self._receive()
        begun = time.monotonic()
        try:
            async with asyncio.timeout(self._rate.allowed_wait_s(self._received_bytes) - self._waited_s):
                message = await self._receive()
        except TimeoutError:
            raise BodyTooSlow(f"the request body came too slowly; send {self._rate}") from None
        self._waited_s += time.monotonic() - begun
        self._received_bytes += len(message.get("body", b""))
        self._is_whole = not message.get("more_body", False)
        return message
