"""Shared by small ASGI applications in tests: the lifespan, whole bodies, whole answers."""

from __future__ import annotations

from typing import Any


async def live(receive: Any, send: Any) -> None:
    """Take part in a server's lifespan."""
    for stage in ("startup", "shutdown"):
        await receive()
        await send({"type": f"lifespan.{stage}.complete"})


async def read_body(receive: Any) -> bytes | None:
    """The whole body of a request; None if the client disconnects before its end."""
    body, message = b"", await receive()
    while message["type"] == "http.request":
        body += message["body"]
        if not message["more_body"]:
            return body
        message = await receive()
    return None


async def answer(send: Any, status: int, body: bytes) -> None:
    """A whole answer."""
    headers = [(b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
