"""Puts x-request-id on every answer, and answers exceptions that nothing else handled."""

from __future__ import annotations

import itertools
import uuid
from collections.abc import Iterator
from enum import Enum
from typing import Final

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from structlog.contextvars import bind_contextvars

from shared.errors import AnswerCut, Internal
from shared.http.error_response import error_response

log = structlog.get_logger()

REQUEST_ID: Final = "request_id"
"""Key of the id in a request's state, and in log lines."""

_TAILS: Final = tuple(f"{number:02x}".encode() for number in range(256))


class RequestIds:
    """Ids that look like UUIDv4 without dashes: random for the process, counted within it.

    The first 22 digits are random, except for version and variant (82 random bits). The last 10 count up from
    a random start, because counting is much cheaper than drawing random numbers.
    """

    def __init__(self) -> None:
        seed = uuid.uuid4().hex
        self._prefix, self._start = seed[:22], int(seed[22:], 16)
        self._count = itertools.count()

    def next(self) -> str:
        """32 lower-case hex digits."""
        return f"{self._prefix}{(self._start + next(self._count)) & 0xFFFFFFFFFF:010x}"

    def stream(self) -> Iterator[bytes]:
        """An endless stream of ids, as bytes. Do not use it together with next()."""
        start = self._start >> 8
        for count in itertools.count():
            head = f"{self._prefix}{(start + count) & 0xFFFFFFFF:08x}".encode()
            for tail in _TAILS:
                yield head + tail


class _Progress(Enum):
    """The progress of an answer."""

    NOTHING = 0
    BEGUN = 1
    COMPLETE = 2


class _Answer:
    """An answer under way. It gets the request's id, and its progress is known."""

    __slots__ = ("_header", "_send", "progress")

    def __init__(self, send: Send, request_id: str) -> None:
        self._send = send
        self._header = (b"x-request-id", request_id.encode())
        self.progress = _Progress.NOTHING

    async def send(self, message: Message) -> None:
        """Pass a message on to the server."""
        if message["type"] == "http.response.start":
            self.progress = _Progress.BEGUN
            message["headers"] = [*message.get("headers", ()), self._header]
        elif not message.get("more_body", False):
            self.progress = _Progress.COMPLETE
        await self._send(message)


class RequestIdMiddleware:
    """Gives each request an id in `scope["state"]["request_id"]`; a client's own is ignored."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._ids = RequestIds()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on. An exception before the answer has begun is answered with 500 in JSON.

        A later exception is logged and raised again, so that the server ends the connection and half a body
        never looks complete.
        """
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        state = scope.setdefault("state", {})
        request_id = state[REQUEST_ID] = state.get(REQUEST_ID) or self._ids.next()
        bind_contextvars(request_id=request_id)
        answer = _Answer(send, request_id)
        try:
            await self._app(scope, receive, answer.send)
        except AnswerCut as cut:
            log.warning("answer_cut", request_id=request_id, path=scope["path"], code=cut.code)
            raise
        except Exception:
            log.exception("unhandled_exception", request_id=request_id, path=scope["path"])
            if answer.progress is _Progress.BEGUN:
                raise
            if answer.progress is _Progress.NOTHING:
                await error_response(Internal(), scope)(scope, receive, answer.send)
