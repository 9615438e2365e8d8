"""A TCP proxy that fails on demand, in front of S3, Postgres or Redis."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

from tests.loopback_proxy import LoopbackProxy

PIECE_BYTES = 65_536


@dataclass(frozen=True, slots=True)
class Answer:
    """Answer over HTTP in the server's place, with this status (and body), and close."""

    status: int
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class Cut:
    """Forward the request, then close after this many bytes of the server's answer."""

    after_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Hang:
    """Forward the request, then stop forwarding after this many bytes of the server's answer."""

    after_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Refuse:
    """Close at once, so that the server never receives the request."""


Fault = Answer | Cut | Hang | Refuse
Connect = Callable[[], Awaitable[tuple[asyncio.StreamReader, asyncio.StreamWriter]]]


class FaultProxy(LoopbackProxy):
    """A proxy in front of one server. A fault strikes when a client sends something."""

    def __init__(self, connect: Connect) -> None:
        """connect: opens a connection to the server."""
        super().__init__()
        self._connect = connect
        self._fault: Fault | None = None
        self._left: int | None = None
        self._passing = 0
        self._connections: set[_Connection] = set()
        self.strikes = 0

    @classmethod
    def before(cls, server: Path | str) -> Self:
        """A proxy in front of a server on a socket, or at a URL."""
        if isinstance(server, Path):
            return cls(lambda: asyncio.open_unix_connection(server))
        url = urlsplit(server)
        return cls(lambda: asyncio.open_connection(str(url.hostname), url.port or 80))

    def inject(self, fault: Fault, *, times: int | None = None, after: int = 0) -> None:
        """Let the fault strike this many times; None: until heal(). after: pieces that pass first."""
        self._fault, self._left, self._passing, self.strikes = fault, times, after, 0

    def heal(self) -> None:
        """Forward everything again."""
        self._fault = None

    def freeze(self) -> None:
        """Stop forwarding on all present connections; new connections work."""
        for connection in self._connections:
            connection.ending = Hang()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Forward one connection, until either side or a fault ends it."""
        try:
            server_reader, server_writer = await self._connect()
        except OSError:  # the server is gone, so close the client's side too
            writer.transport.abort()
            return
        except asyncio.CancelledError:  # the test ends meanwhile
            writer.transport.abort()
            raise
        connection = _Connection(reader, writer, server_reader, server_writer)
        self._connections.add(connection)
        try:
            async with asyncio.TaskGroup() as both:
                both.create_task(connection.pass_answers())
                both.create_task(self._pass_requests(connection))
        except* (_Ended, ConnectionError):
            pass  # the first direction that ended has cancelled the other
        finally:
            self._connections.discard(connection)
            writer.transport.abort()
            server_writer.transport.abort()

    async def _pass_requests(self, connection: _Connection) -> None:
        while piece := await connection.reader.read(PIECE_BYTES):
            match self._strike():
                case Answer() as answer:
                    await connection.answer(answer)
                case Refuse():
                    raise _Ended
                case Cut() | Hang() as ending:
                    connection.ending = ending
                    await connection.send(piece)
                case None:
                    await connection.send(piece)
        raise _Ended

    def _strike(self) -> Fault | None:
        if self._fault is None or self._left == 0:
            return None
        if self._passing > 0:
            self._passing -= 1
            return None
        if self._left is not None:
            self._left -= 1
        self.strikes += 1
        return self._fault


class _Ended(Exception):
    """A connection has ended."""


@dataclass(slots=True, eq=False)
class _Connection:
    """Both halves of a proxied connection, and how its answers end if a fault struck."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    server_reader: asyncio.StreamReader
    server_writer: asyncio.StreamWriter
    ending: Cut | Hang | None = None

    async def send(self, piece: bytes) -> None:
        """Forward a piece to the server."""
        self.server_writer.write(piece)
        await self.server_writer.drain()

    async def pass_answers(self) -> None:
        """Forward the server's answers, up to the fault."""
        passed_since_fault = 0
        while piece := await self.server_reader.read(PIECE_BYTES):
            if self.ending is not None:
                piece = piece[: self.ending.after_bytes - passed_since_fault]
                passed_since_fault += len(piece)
            self.writer.write(piece)
            await self.writer.drain()
            if self.ending is not None and passed_since_fault == self.ending.after_bytes:
                await self._end(self.ending)
        raise _Ended

    async def _end(self, ending: Cut | Hang) -> None:
        if isinstance(ending, Hang):
            await asyncio.Event().wait()
        self.writer.close()
        with suppress(ConnectionError):
            await self.writer.wait_closed()
        raise _Ended

    async def answer(self, answer: Answer) -> None:
        """Answer in the server's place, and wait until the client has closed."""
        reason = HTTPStatus(answer.status).phrase
        head = f"HTTP/1.1 {answer.status} {reason}\r\ncontent-length: {len(answer.body)}\r\n"
        self.writer.write(f"{head}connection: close\r\n\r\n".encode() + answer.body)
        await self.writer.drain()
        while await self.reader.read(PIECE_BYTES):
            continue
        raise _Ended
