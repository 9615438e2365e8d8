"""Feeds raw bytes to a protocol, in the pieces that a client sends, without a network."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import uvicorn
from starlette.types import ASGIApp
from uvicorn.server import ServerState

from api.read.fast_path import FastProtocol

DATE = b"Tue, 24 Nov 2026 17:00:00 GMT"
_REQUEST_ID = re.compile(rb'(x-request-id: |"request_id":")[0-9a-f]{32}')


class Wire(asyncio.Transport):
    """The server's end of a connection. sent: what the server wrote; is_closed: it hung up."""

    def __init__(self) -> None:
        super().__init__()
        self.sent = bytearray()
        self.is_closed = False
        self.is_paused = False

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """No extra information, as there is no socket."""
        return default

    def write(self, data: Any) -> None:
        """Record the bytes; the client reads them at once."""
        if not self.is_closed:
            self.sent += data

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Ignored, as nothing is buffered."""

    def get_write_buffer_size(self) -> int:
        """Always 0, as nothing is buffered."""
        return 0

    def is_closing(self) -> bool:
        """True once the server has closed the connection."""
        return self.is_closed

    def close(self) -> None:
        """The server closes the connection."""
        self.is_closed = True

    abort = write_eof = close

    def pause_reading(self) -> None:
        """The server stops reading for now."""
        self.is_paused = True

    def resume_reading(self) -> None:
        """The server reads again."""
        self.is_paused = False


@dataclass(frozen=True)
class Heard:
    """The output to a client: all bytes, with request ids blanked, and whether the server closed."""

    data: bytes
    is_closed: bool


class Endpoint:
    """A server's protocol over an application, for one connection after another."""

    def __init__(self, protocol: Any, app: ASGIApp, app_state: dict[str, Any] | None = None) -> None:
        """app_state: the state that the application's lifespan would have left."""
        self.config = uvicorn.Config(app, http=protocol, lifespan="off", log_config=None, access_log=False)
        self.config.load()
        self.state = ServerState()
        self.state.default_headers = [(b"date", DATE)]
        self._app_state = app_state or {}

    async def hear(self, pieces: Sequence[bytes]) -> Heard:
        """Send these pieces over a new connection, each when the server reads.

        Returns the complete output.
        """
        protocol: Any = self.config.http_protocol_class(self.config, self.state, self._app_state)  # type: ignore[operator]
        wire = Wire()
        protocol.connection_made(wire)
        for piece in pieces:
            await self._settle(lambda: not wire.is_paused or wire.is_closed)
            if wire.is_closed:
                break
            protocol.data_received(piece)
            await asyncio.sleep(0)
        await self._settle(lambda: not self.state.tasks and not _is_loading(protocol))
        heard = Heard(_REQUEST_ID.sub(rb"\g<1>-", bytes(wire.sent)), wire.is_closed)
        protocol.connection_lost(None)
        await self._settle(lambda: not self.state.tasks)
        return heard

    async def _settle(self, condition: Any) -> None:
        async with asyncio.timeout(60):
            while not condition():
                await asyncio.sleep(0)


def _is_loading(protocol: Any) -> bool:
    """True while the fast path waits for a load, which is no task of the server."""
    return isinstance(protocol, FastProtocol) and protocol.idle_since is None
