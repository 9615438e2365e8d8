"""Processor time of each layer around a request's handler, with logging and tracing off, as shipped."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.write.body_rate import BodyRateMiddleware
from shared.http.cors import CorsMiddleware
from shared.http.observation import ObservationMiddleware
from shared.http.path import PathMiddleware
from shared.http.request_id import RequestIdMiddleware
from shared.settings import Settings
from tests.bench.measure import ARCHIVE_BYTES, print_table

REQUESTS = 2_000
ROUNDS = 15
SCOPE: dict[str, Any] = {
    "type": "http",
    "asgi": {"version": "3.0"},
    "http_version": "1.1",
    "method": "POST",
    "scheme": "http",
    "path": "/v1/packages/publish",
    "raw_path": b"/v1/packages/publish",
    "query_string": b"",
    "root_path": "",
    "headers": [(b"host", b"127.0.0.1:8080"), (b"authorization", b"Bearer x07t_0"), (b"accept", b"*/*")],
    "client": ("127.0.0.1", 40_000),
    "server": ("127.0.0.1", 8080),
}
BODY: Message = {"type": "http.request", "body": bytes(ARCHIVE_BYTES), "more_body": False}


async def handle(request: Request) -> Response:
    """Read the body and answer."""
    await request.body()
    return Response(b"{}", media_type="application/json")


async def bare(scope: Scope, receive: Receive, send: Send) -> None:
    """The handler without any layer."""
    await (await handle(Request(scope, receive)))(scope, receive, send)


def main() -> None:
    """Print the table."""
    settings = Settings()
    layers: dict[str, Callable[[ASGIApp], ASGIApp]] = {
        "the handler alone: reads 24 KB, answers": lambda _: bare,
        "Starlette: its two error layers and the route": lambda _: _routed(),
        "path and query that decode": PathMiddleware,
        "rate of the body": lambda app: BodyRateMiddleware(app, settings),
        "CORS": lambda app: CorsMiddleware(app, settings.cors_origins),
        "metrics and access log (off)": lambda app: ObservationMiddleware(
            app, has_access_log=settings.access_log
        ),
        "request id": RequestIdMiddleware,
    }
    apps: list[ASGIApp] = []
    for wrap in layers.values():
        apps.append(wrap(apps[-1] if apps else bare))
    best_us = asyncio.run(_best_us(apps))
    rows = [
        [name, f"{us:.1f}", f"{us - before:+.1f}"]
        for name, us, before in zip(layers, best_us, [0.0, *best_us], strict=False)
    ]
    notes = [f"{REQUESTS:,} requests in turn, the best of {ROUNDS} rounds; load {os.getloadavg()[0]:.1f}"]
    print_table("layers around a handler", "layers", ["with", "us of a core", "adds"], rows, notes)


def _routed() -> ASGIApp:
    return Starlette(routes=[Route("/v1/packages/publish", handle, methods=["POST"])])


async def _best_us(apps: list[ASGIApp]) -> list[float]:
    """Processor time of a request to each application, microseconds."""
    best = [float("inf")] * len(apps)
    for _ in range(ROUNDS):
        for number, app in enumerate(apps):
            begun = time.process_time()
            for _ in range(REQUESTS):
                await app({**SCOPE, "state": {}}, _receive, _send)
            best[number] = min(best[number], (time.process_time() - begun) / REQUESTS * 1e6)
    return best


async def _receive() -> Message:
    return BODY


async def _send(_message: Message) -> None:
    """Drop the answer."""


if __name__ == "__main__":
    main()
