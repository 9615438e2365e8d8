"""A small real server that webhooks post to, and that may answer badly, slowly or not at all."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import msgspec
from standardwebhooks.webhooks import Webhook
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

Answer = Callable[[Request], Awaitable[Response]]
ALLOWED = {"webhooks_allow_http": True, "webhooks_allow_private": True}


@dataclass
class Receiver:
    """Keeps what it gets, and the paths. answer: what it answers; 204 by default. url: set by its server."""

    url: str = ""
    received: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    answer: Answer | None = None
    paths: list[str] = field(default_factory=list)

    @property
    def app(self) -> Starlette:
        """The application."""
        return Starlette(routes=[Route("/{path:path}", self._receive, methods=["GET", "POST"])])

    async def _receive(self, request: Request) -> Response:
        self.paths.append(request.url.path)
        self.received.append((dict(request.headers), await request.body()))
        return Response(status_code=204) if self.answer is None else await self.answer(request)

    @property
    def events(self) -> list[dict[str, Any]]:
        """The bodies, in the order in which they came."""
        return [msgspec.json.decode(body) for _, body in self.received]

    @property
    def told(self) -> list[tuple[str, str]]:
        """The events' types and versions."""
        return [(event["type"], event["data"].get("version", "")) for event in self.events]

    def verified(self, secret: str) -> list[Any]:
        """The events, each of which the library of Standard Webhooks has verified."""
        return [Webhook(secret).verify(body, headers) for headers, body in self.received]


def answering(status: int, **headers: str) -> Answer:
    """An answer with this status."""

    async def answer(_: Request) -> Response:
        return Response(status_code=status, headers=headers)

    return answer


def waiting_for(event: asyncio.Event) -> Answer:
    """No answer before the event."""

    async def answer(_: Request) -> Response:
        await event.wait()
        return Response(status_code=204)

    return answer
