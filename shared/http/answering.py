"""Wraps the transport and the application of a request that uvicorn's cycle is answering."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final

from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from shared.errors import AnswerCut, Unavailable
from shared.http.error_response import error_response
from shared.http.request_id import RequestIdMiddleware


class AnswerTransport:
    """The transport of a connection for one cycle.

    The protocol, not the cycle, decides how the connection ends.
    """

    __slots__ = ("close", "is_closing", "write")

    def __init__(
        self, transport: asyncio.Transport, hang_up: Callable[[], None], is_leaving: Callable[[], bool]
    ) -> None:
        self.write, self.close, self.is_closing = transport.write, hang_up, is_leaving


def cut_by(cycle: RequestResponseCycle, app: ASGIApp) -> Any:
    """The application for one request.

    When it raises AnswerCut, the answer ends as if the client had gone.
    """

    async def answered(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await app(scope, receive, send)
        except AnswerCut:
            cycle.disconnected = True
            cycle.transport.close()

    return answered


async def _refuse(scope: Scope, receive: Receive, send: Send) -> None:
    await error_response(Unavailable("too many requests at once, try again"), scope)(scope, receive, send)


overloaded: Final = RequestIdMiddleware(_refuse)
"""An application that answers that there are too many requests."""
