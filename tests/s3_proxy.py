"""An HTTP proxy in front of S3 that holds, delays, repeats or loses whole requests, or cuts answers.

Unlike FaultProxy it knows where a request ends, so it can send one long after its client has gone: a late
request, as networks and retries cause them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit

from tests.loopback_proxy import LoopbackProxy

HEAD_END = b"\r\n\r\n"
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


@dataclass(frozen=True, slots=True)
class Sent:
    """A request from the client. path: decoded, with the bucket. message: head and body."""

    method: str
    path: str
    message: bytes


@dataclass(frozen=True, slots=True)
class Pass:
    """Send the request to the server and answer the client, after so many seconds."""

    delay_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Lose:
    """Cut the connection; the server never sees the request."""


@dataclass(frozen=True, slots=True)
class CutAnswer:
    """Let the server do the request, and cut its answer after this many bytes."""

    after_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Late:
    """Cut the connection now, and send the request after this many seconds, when its client has given up."""

    after_s: float


@dataclass(frozen=True, slots=True)
class Repeat:
    """Answer normally, and send the same request again after this many seconds."""

    after_s: float


@dataclass(eq=False, slots=True)
class Held:
    """A request that waits in the proxy. Its client hears nothing until it gives up."""

    is_there: asyncio.Event = field(default_factory=asyncio.Event)
    is_let_go: asyncio.Event = field(default_factory=asyncio.Event)
    is_done: asyncio.Event = field(default_factory=asyncio.Event)
    status: int | None = None

    async def let_go(self) -> int:
        """Send the request now. Returns the status of the server's answer."""
        await self.is_there.wait()
        self.is_let_go.set()
        await self.is_done.wait()
        if self.status is None:
            raise RuntimeError("the server did not answer the held request")
        return self.status


Treatment = Pass | Lose | CutAnswer | Late | Repeat | Held
Choose = Callable[[Sent], Treatment]


class S3Proxy(LoopbackProxy):
    """A proxy in front of an S3 server. choose: decides how each request is treated."""

    def __init__(self, endpoint: str) -> None:
        """endpoint: URL of the server."""
        super().__init__()
        parts = urlsplit(endpoint)
        self._server = (str(parts.hostname), parts.port or 80)
        self.choose: Choose = _pass

    @property
    def endpoint(self) -> str:
        """URL of the proxy."""
        return f"http://127.0.0.1:{self.port}"

    def hold_next(self, wanted: Callable[[Sent], bool]) -> Held:
        """Hold the next matching request; all others pass, including a retry of the held one."""
        held = Held()
        before = self.choose

        def choose(sent: Sent) -> Treatment:
            if not wanted(sent):
                return before(sent)
            self.choose = before
            return held

        self.choose = choose
        return held

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Handle one request of a client, which then reconnects."""
        try:
            with suppress(ConnectionError, asyncio.IncompleteReadError):
                sent = await _read_request(reader, writer)
                await self._treat(self.choose(sent), sent, writer)
        finally:
            writer.close()

    async def _treat(self, treatment: Treatment, sent: Sent, writer: asyncio.StreamWriter) -> None:
        match treatment:
            case Pass(delay_s):
                await asyncio.sleep(delay_s)
                await self._relay(sent, writer)
            case CutAnswer(after_bytes):
                await self._relay(sent, writer, after_bytes)
            case Repeat(after_s):
                await self._relay(sent, writer)
                self._start(self._send_later(sent, after_s))
            case Late(after_s):
                self._start(self._send_later(sent, after_s))
            case Held() as held:
                await self._hold(held, sent)
            case Lose():
                pass

    async def _relay(self, sent: Sent, writer: asyncio.StreamWriter, up_to: int | None = None) -> None:
        answer = await self._ask(sent)
        writer.write(answer if up_to is None else answer[:up_to])
        await writer.drain()

    async def _hold(self, held: Held, sent: Sent) -> None:
        held.is_there.set()
        await held.is_let_go.wait()
        try:
            answer = await self._ask(sent)
            held.status = int(answer.split(b" ", 2)[1])
        finally:
            held.is_done.set()

    async def _send_later(self, sent: Sent, after_s: float) -> None:
        await asyncio.sleep(after_s)
        with suppress(OSError):
            await self._ask(sent)

    async def _ask(self, sent: Sent) -> bytes:
        """The server's whole answer."""
        reader, writer = await asyncio.open_connection(*self._server)
        try:
            writer.write(sent.message)
            await writer.drain()
            return await reader.read()
        finally:
            writer.transport.abort()


async def _read_request(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Sent:
    """Read a whole request. Raises IncompleteReadError if the client disconnects before its end."""
    head = await reader.readuntil(HEAD_END)
    first, *lines = head[: -len(HEAD_END)].split(b"\r\n")
    headers = {
        name.strip().lower(): value.strip() for name, _, value in (line.partition(b":") for line in lines)
    }
    if headers.get(b"expect", b"").lower() == b"100-continue":
        writer.write(CONTINUE)
        await writer.drain()
    body = await _read_body(reader, headers)
    method, target, _ = first.decode().split(" ")
    kept = [line for line in lines if not line.lower().startswith((b"expect:", b"connection:"))]
    message = b"\r\n".join([first, *kept, b"Connection: close"]) + HEAD_END + body
    return Sent(method, unquote(target), message)


async def _read_body(reader: asyncio.StreamReader, headers: dict[bytes, bytes]) -> bytes:
    """The body as it was sent, its chunks included."""
    if b"chunked" not in headers.get(b"transfer-encoding", b"").lower():
        return await reader.readexactly(int(headers.get(b"content-length", b"0")))
    body = b""
    while True:
        size = await reader.readuntil(b"\r\n")
        chunk = await reader.readexactly(int(size.split(b";")[0], 16) + 2)
        body += size + chunk
        if len(chunk) == 2:
            return body


def _pass(sent: Sent) -> Treatment:
    return Pass()
