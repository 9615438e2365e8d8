"""Cross-origin headers, identical to those of the older server (contract, 1.5)."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

Headers = list[tuple[bytes, bytes]]

VARY: Final = (b"vary", b"origin, access-control-request-method, access-control-request-headers")
EXPOSED: Final = (b"access-control-expose-headers", b"x-request-id, etag")
CREDENTIALS: Final = (b"access-control-allow-credentials", b"true")
PREFLIGHT: Final = (
    (b"access-control-allow-methods", b"GET,HEAD,OPTIONS,POST,DELETE"),
    (b"access-control-allow-headers", b"authorization,content-type,x-x07-csrf"),
)
ALLOW_ORIGIN: Final = b"access-control-allow-origin"


class CorsMiddleware:
    """Adds the headers to every answer and answers OPTIONS on any path. Does nothing without origins."""

    def __init__(self, app: ASGIApp, origins: Collection[str]) -> None:
        self._app = app
        self._origins = frozenset(origin.encode() for origin in origins)
        self._allows_any = b"*" in self._origins

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on and add CORS headers, or answer a preflight with 200."""
        if scope["type"] != "http" or not self._origins:
            await self._app(scope, receive, send)
            return
        headers = self._headers(scope)
        if scope["method"] == "OPTIONS":
            start = {"type": "http.response.start", "status": 200}
            await send({**start, "headers": [*headers, *PREFLIGHT, (b"content-length", b"0")]})
            await send({"type": "http.response.body"})
            return

        async def send_with_cors(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), *headers]
            await send(message)

        await self._app(scope, receive, send_with_cors)

    def _headers(self, scope: Scope) -> Headers:
        """The headers for this request. An unlisted origin is refused by the absence of allow-origin."""
        if self._allows_any:
            return [(ALLOW_ORIGIN, b"*"), EXPOSED, VARY]
        origin = next((value for name, value in scope["headers"] if name == b"origin"), None)
        allowed = [(ALLOW_ORIGIN, origin)] if origin in self._origins and origin is not None else []
        return [*allowed, CREDENTIALS, EXPOSED, VARY]
