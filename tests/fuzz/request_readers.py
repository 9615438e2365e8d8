"""The requests that different servers read from one stream of bytes: ours, h11, and llhttp (in node)."""

from __future__ import annotations

import asyncio
import base64
import json
import random
import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import h11
import uvicorn
from starlette.types import Message, Receive, Scope, Send
from uvicorn.server import ServerState

from shared.http.guarded_protocol import GuardedProtocol
from tests.api.read.wire import Wire
from tests.fuzz.request_streams import pieces
from tests.shared.http.asgi import read_body

LLHTTP: Final = Path(__file__).with_name("llhttp.mjs")
NO_NODE: Final = "node is not here: no stream of requests was read by llhttp beside us"

# Method, target and body of a request. Bodies of GET and HEAD have no meaning, and are left out.
Request = tuple[str, bytes, bytes]


@dataclass(frozen=True)
class Reading:
    """All whole requests in order, and whether the connection was refused, ended or is open."""

    requests: list[Request]
    end: str
    reason: str = ""


# Cases that others refuse although the standard allows to accept them.
STRICTER: Final = re.compile(
    "no request line received"  # an empty line before a request (RFC 9112, 2.2)
    "|illegal chunk header: .*\\b0{20,}"  # zeros before the size of a chunk (RFC 9112, 7.1)
    "|illegal request line: .*\\\\x[89a-f]|HPE_INVALID_URL"  # bytes beyond ASCII in a target
    "|HPE_INVALID_CONTENT_LENGTH",  # a tab behind a length (RFC 9110, 5.5)
)


def differences(ours: Reading, data: bytes, llhttp: LlhttpReader | None) -> list[str]:
    """The readings of others that differ from ours.

    A server that refuses or ends the connection may have read less than the others, but nothing else.
    """
    others = {"h11": read_with_h11(data)}
    if llhttp is not None:
        others["llhttp"] = llhttp.read(data)
    return [f"{name} reads {other}" for name, other in others.items() if not _agree(ours, other)]


def _agree(ours: Reading, other: Reading) -> bool:
    both = min(len(ours.requests), len(other.requests))
    is_excused = other.end == "refused" and STRICTER.match(other.reason) is not None
    return (
        ours.requests[:both] == other.requests[:both]
        and (both == len(ours.requests) or is_excused)
        and (both == len(other.requests) or ours.end != "open")
    )


class OurReader:
    """GuardedProtocol over an application that reads each body and notes the request."""

    def __init__(self) -> None:
        self._config = uvicorn.Config(
            self._answer, interface="asgi3", lifespan="off", log_config=None, access_log=False
        )
        self._state = ServerState()
        self._requests: list[Request] = []

    async def read(self, pieces: Sequence[bytes], *, is_ended: bool = False) -> Reading:
        """Read a stream that arrives in these pieces. is_ended: the client sends nothing after them."""
        self._requests, wire = [], Wire()
        protocol = GuardedProtocol(self._config, self._state, {}, asyncio.get_running_loop())
        protocol.connection_made(wire)
        for piece in pieces:
            await self._until_quiet(wire)
            if not wire.is_closed:
                protocol.data_received(piece)
        await self._until_quiet(wire)
        was_closed = wire.is_closed
        if is_ended and not was_closed and not protocol.eof_received():
            wire.close()
        await self._until_quiet(wire)
        refusals = re.findall(rb"HTTP/1\.1 ([45][0-9]{2}) ", bytes(wire.sent))
        requests = list(self._requests)
        protocol.connection_lost(None)
        while self._state.tasks:
            await asyncio.sleep(0)
        assert was_closed or not refusals
        end = "refused" if refusals else "closed" if was_closed else "open"
        return Reading(requests, end, b", ".join(refusals).decode())

    async def _until_quiet(self, wire: Wire) -> None:
        """Wait until nothing more is read or answered: a request takes one turn of the loop or two."""
        quiet_turns, before = 0, (-1, -1)
        while quiet_turns < 5 or (wire.is_paused and not wire.is_closed):
            await asyncio.sleep(0)
            now = len(wire.sent), len(self._requests)
            quiet_turns, before = (quiet_turns + 1 if now == before else 0), now

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        if (request := await read_request(scope, receive)) is None:
            return
        self._requests.append(request)
        start: Message = {
            "type": "http.response.start",
            "status": 200,
            "headers": [(b"content-length", b"0")],
        }
        await send(start)
        await send({"type": "http.response.body"})


async def read_request(scope: Scope, receive: Receive) -> Request | None:
    """A request with its body, as an application reads it; None if the body is incomplete."""
    body = await read_body(receive)
    if body is None:
        return None
    target = scope["raw_path"] + (b"?" + scope["query_string"] if scope["query_string"] else b"")
    return noted_request(scope["method"], target, body)


async def read_every_way(data: bytes) -> Reading:
    """Our reading of a stream. Raises AssertionError if it depends on how the bytes arrive."""
    reader, rng = OurReader(), random.Random(data)
    ours = await reader.read([data])
    assert await reader.read([data[place : place + 1] for place in range(len(data))]) == ours
    assert await reader.read(pieces(rng, data)) == ours
    assert await reader.read(pieces(rng, data), is_ended=True) == ours
    return ours


def read_with_h11(data: bytes) -> Reading:
    """h11's reading of a stream."""
    connection = h11.Connection(h11.SERVER, max_incomplete_event_size=1 << 20)
    connection.receive_data(data)
    reading = _H11Reading(connection)
    try:
        return Reading(reading.requests, reading.run())
    except h11.RemoteProtocolError as error:
        return Reading(reading.requests, "refused", str(error))


@dataclass
class _H11Reading:
    connection: h11.Connection
    requests: list[Request] = field(default_factory=list)
    head: Any = None
    body: bytes = b""

    def run(self) -> str:
        """Read and answer until the stream ends. Raises RemoteProtocolError."""
        while True:
            match self.connection.next_event():
                case h11.Request() as head:
                    self.head, self.body = head, b""
                case h11.Data(data=part):
                    self.body += part
                case h11.EndOfMessage():
                    method, target = self.head.method.decode(), self.head.target
                    self.requests.append(noted_request(method, target, self.body))
                    self.connection.send(h11.Response(status_code=405, headers=[(b"content-length", b"0")]))
                    self.connection.send(h11.EndOfMessage())
                    if self.connection.our_state is not h11.DONE:
                        return "closed"
                    self.connection.start_next_cycle()
                case h11.NEED_DATA:
                    return "open"
                case _:  # the end of the stream, which may be empty; or a pause behind CONNECT
                    return "closed"


class LlhttpReader:
    """node's llhttp, in a process of its own."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def read(self, data: bytes) -> Reading:
        """llhttp's reading of a stream."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(base64.b64encode(data).decode(), file=self._process.stdin, flush=True)
        told = json.loads(self._process.stdout.readline())
        requests = [
            noted_request(method, base64.b64decode(target), base64.b64decode(body))
            for method, target, body in told["requests"]
        ]
        return Reading(requests, told["end"], str(told["error"]))


@contextmanager
def llhttp_reader() -> Iterator[LlhttpReader | None]:
    """A reader; None if node is not installed."""
    node = shutil.which("node")
    if node is None:
        yield None
        return
    command = [node, "--no-deprecation", str(LLHTTP)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield LlhttpReader(process)
        assert process.stdin is not None
        process.stdin.close()


def noted_request(method: str, target: bytes, body: bytes) -> Request:
    """With the target as our applications see it: its path and query, percent-encoded."""
    path = re.sub(rb"(?i)^https?://[^/?]+(?=(/?))", lambda found: b"" if found[1] else b"/", target)
    encoded = re.sub(rb"[\x80-\xff]", lambda byte: b"%%%02X" % byte[0][0], path)
    return method, encoded.partition(b"#")[0].removesuffix(b"?"), b"" if method in ("GET", "HEAD") else body
