"""Counts and times every request, and logs it if the setting access_log is on.

Routes put their pattern into the scope.
"""

from __future__ import annotations

import time
from typing import Final

import structlog
from prometheus_client import Counter, Histogram
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from shared.metrics import HTTP_IN_FLIGHT, HTTP_REQUESTS, HTTP_SECONDS

METHODS: Final = frozenset({"GET", "HEAD", "POST", "DELETE", "OPTIONS", "PUT", "PATCH"})
ROUTE: Final = "route"
BEGUN: Final = "begun"
"""Key of the monotonic time, in a request's state, at which another protocol received the request."""
UNKNOWN: Final = "unknown"

log = structlog.get_logger()


def name_route(scope: Scope, pattern: str) -> None:
    """Record which route answers. pattern: as `/v1/packages/{name}`, so that labels are bounded."""
    scope["state"][ROUTE] = pattern


class ObservationMiddleware:
    """Observes requests. has_access_log: log a line for each answer, without query and headers."""

    def __init__(self, app: ASGIApp, *, has_access_log: bool) -> None:
        self._app = app
        self._has_access_log = has_access_log
        # Looking up a series costs more than counting, so they are kept, one for each route, method and
        # status.
        self._series: dict[tuple[str, str, int], tuple[Counter, Histogram]] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on. An exception before the answer begins counts as 500."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begun, status = scope["state"].get(BEGUN) or time.monotonic(), 500

        async def send_observed(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        HTTP_IN_FLIGHT.inc()
        try:
            await self._app(scope, receive, send_observed)
        finally:
            HTTP_IN_FLIGHT.dec()
            self._observe(scope, status, time.monotonic() - begun)

    def _observe(self, scope: Scope, status: int, seconds: float) -> None:
        route = scope["state"].get(ROUTE, UNKNOWN)
        method = scope["method"] if scope["method"] in METHODS else "other"
        key = method, route, status
        if (series := self._series.get(key)) is None:
            series = HTTP_REQUESTS.labels(*key), HTTP_SECONDS.labels(route)
            self._series[key] = series
        series[0].inc()
        series[1].observe(seconds)
        if self._has_access_log:
            log.info(
                "http_request",
                method=method,
                path=scope["path"],
                route=route,
                status=status,
                duration_ms=round(seconds * 1000, 3),
            )
