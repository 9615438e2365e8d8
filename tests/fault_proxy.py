"""A TCP proxy that misbehaves on demand, between us and a server: S3, Postgres, Redis."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Self

PIECE_BYTES = 65_536


@dataclass(frozen=True, slots=True)
class Answer:
    """Instead of the server, answer over HTTP with this status (and body), and close."""

    status: int
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class Cut:
    """Pass the request on, then break off after so many bytes of what the server says."""

    after_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Hang:
    """Pass the request on, then fall silent after so many bytes of what the server says."""

    after_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Refuse:
    """Break off at once: the server never hears what was sent."""


Fault = Answer | Cut | Hang | Refuse
Connect = Callable[[], Awaitable[tuple[asyncio.StreamReader, asyncio.StreamWriter]]]


class FaultProxy:
    """One proxy before one server. Faults strike whenever a client sends something."""

    def __init__(self, connect: Connect) -> None:
        """connect: opens a connection to the server."""
        self._connect = connect
        self._fault: Fault | None = None
        self._left: int | None = None
        self._passing = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._connections: set[_Connection] = set()
        self.port = 0
        self.strikes = 0

    @classmethod
    def before(cls, server: Path | tuple[str, int]) -> Self:
        """A proxy before a server on a socket, or on a host and port."""
        if isinstance(server, Path):
            return cls(lambda: asyncio.open_unix_connection(server))
        return cls(lambda: asyncio.open_connection(*server))

    def inject(self, fault: Fault, *, times: int | None = None, after: int = 0) -> None:
        """Let the fault strike so many times; None: until heal(). after: pieces that pass before."""
        self._fault, self._left, self._passing, self.strikes = fault, times, after, 0

    def heal(self) -> None:
        """Pass everything on again."""
        self._fault = None

    def freeze(self) -> None:
        """Let every connection that stands now fall silent for ever; new ones are as good as ever."""
        for connection in self._connections:
            connection.ending = Hang()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[FaultProxy]:
        """Listen on a free loopback port; at the end every connection is gone."""
        server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            await server.wait_closed()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, until either side ends it or a fault does."""
        try:
            server_reader, server_writer = await self._connect()
        except OSError:  # the server is gone, so are we
            writer.transport.abort()
            return
        connection = _Connection(reader, writer, server_reader, server_writer)
        self._connections.add(connection)
        try:
            async with asyncio.TaskGroup() as both:
                both.create_task(connection.pass_answers())
                both.create_task(self._pass_requests(connection))
        except* (_Ended, ConnectionError):
            pass  # the other direction was cancelled by it, which is all there is to do
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
    """A connection is over."""


@dataclass(slots=True, eq=False)
class _Connection:
    """Both halves of a proxied connection, and how its answers end if a fault struck it."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    server_reader: asyncio.StreamReader
    server_writer: asyncio.StreamWriter
    ending: Cut | Hang | None = None

    async def send(self, piece: bytes) -> None:
        """Pass a piece on to the server."""
        self.server_writer.write(piece)
        await self.server_writer.drain()

    async def pass_answers(self) -> None:
        """Pass on what the server says, up to the fault."""
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
        """Answer in the server's place, and wait until the client has had enough."""
        reason = HTTPStatus(answer.status).phrase
        head = f"HTTP/1.1 {answer.status} {reason}\r\ncontent-length: {len(answer.body)}\r\n"
        self.writer.write(f"{head}connection: close\r\n\r\n".encode() + answer.body)
        await self.writer.drain()
        while await self.reader.read(PIECE_BYTES):
            continue
        raise _Ended
