"""x-request-id on every answer, and the last resort for exceptions that nothing else handled."""

from __future__ import annotations

import itertools
import os
import uuid

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from shared.errors import Internal
from shared.http.error_response import error_response

log = structlog.get_logger()


class RequestIds:
    """Ids that look like UUIDv4 without dashes: random for the process, counted within it.

    Unique as long as 74 random bits are; a counter costs a fraction of a random number.
    """

    def __init__(self) -> None:
        seed = uuid.UUID(bytes=os.urandom(16), version=4).hex
        self._prefix, self._start = seed[:22], int(seed[22:], 16)
        self._count = itertools.count()

    def next(self) -> str:
        """32 lower-case hex digits."""
        return f"{self._prefix}{(self._start + next(self._count)) & 0xFFFFFFFFFF:010x}"


class RequestIdMiddleware:
    """Gives each request an id in `scope["state"]["request_id"]`; a client's own is ignored."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._ids = RequestIds()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer 500 in JSON for an exception that comes before the answer began."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = self._ids.next()
        scope.setdefault("state", {})["request_id"] = request_id
        header = (b"x-request-id", request_id.encode())
        begun = False

        async def send_with_id(message: Message) -> None:
            nonlocal begun
            if message["type"] == "http.response.start":
                begun = True
                message["headers"] = [*message.get("headers", ()), header]
            await send(message)

        try:
            await self._app(scope, receive, send_with_id)
        except Exception:
            log.exception("unhandled_exception", request_id=request_id, path=scope["path"])
            if begun:
                raise
            await error_response(Internal(), scope)(scope, receive, send_with_id)
