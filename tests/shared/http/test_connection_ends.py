"""Ends of connections: a client that closes its sending side is answered, a dropped one hears why.

Each test runs on both event loops: servers run uvloop, which ends connections in its own way.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
import uvloop

from shared.host_port import parse_host_port
from shared.http import connections, guarded_protocol
from shared.http.guarded_protocol import GuardedProtocol
from tests.shared.http.asgi import answer, live, read_body
from tests.shared.http.raw import Connection, head
from tests.stack import serving

HOST = b"host: registry.example"
CLOSE = b"connection: close"
Scenario = Callable[["Echo", str], Coroutine[Any, Any, None]]


class Echo:
    """Answers with the body; below /refused it answers 401 at once; waits until it may answer."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        self.broken = 0
        self.may_answer = asyncio.Event()
        self.may_answer.set()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            return await live(receive, send)
        if scope["path"] == "/refused":
            return await answer(send, 401, b"bad token")
        body = await read_body(receive)
        if body is None:
            self.broken += 1
            return None
        self.bodies.append(body)
        await self.may_answer.wait()
        return await answer(send, 200, body)


@pytest.fixture(params=[asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Callable[[Scenario], None]:
    """Runs a scenario with a server and its address on an event loop of this kind."""

    def run_scenario(scenario: Scenario) -> None:
        async def running() -> None:
            application = Echo()
            async with serving(application, GuardedProtocol) as url:
                await scenario(application, url.removeprefix("http://"))

        with asyncio.Runner(loop_factory=request.param) as runner:
            runner.run(running())

    return run_scenario


Run = Callable[[Scenario], None]


def post(path: bytes, body: bytes, *lines: bytes, length: int | None = None) -> bytes:
    """A request with a body."""
    size = len(body) if length is None else length
    return head(path, HOST, b"content-length: %d" % size, *lines, method=b"POST") + body


@pytest.mark.parametrize(
    ("data", "bodies"),
    [
        (b"GET / HTTP/1.0\r\n\r\n", [b""]),
        (head(b"/", HOST), [b""]),
        (post(b"/", b"whole"), [b"whole"]),
        (
            head(b"/", HOST, b"transfer-encoding: chunked", method=b"POST") + b"5\r\nwhole\r\n0\r\n\r\n",
            [b"whole"],
        ),
        (post(b"/", b"one") + post(b"/", b"two") + head(b"/", HOST), [b"one", b"two", b""]),
        (post(b"/", b"one") + post(b"/", b"half", length=9), [b"one"]),
        (post(b"/", b"one") + b"GET / HTTP/1.1\r\nhost:", [b"one"]),
    ],
    ids=["1.0", "head", "length", "chunks", "pipeline", "half a body behind", "half a head behind"],
)
def test_a_client_that_sends_no_more_is_answered(run: Run, data: bytes, bodies: list[bytes]) -> None:
    """Complete requests are answered (RFC 9112, 9.6), and then the connection ends."""

    async def scenario(application: Echo, address: str) -> None:
        application.may_answer.clear()
        connection = await Connection.open(address)
        await connection.send(data)
        connection.end()
        await _eventually(lambda: application.bodies == bodies[:1])
        await asyncio.sleep(0.1)  # the end arrives before the answer, if it is noticed at all
        application.may_answer.set()
        answers = await connection.read_all()
        assert answers.count(b"HTTP/1.1 200") == len(bodies)
        assert answers.endswith(bodies[-1])
        assert application.bodies == bodies

    run(scenario)


@pytest.mark.parametrize(
    ("data", "broken"), [(post(b"/", b"half", length=9), 1), (b"GET / HTTP/1.1\r\nhost: ", 0), (b"", 0)]
)
def test_a_request_that_is_cut_short_is_none(run: Run, data: bytes, broken: int) -> None:
    """The connection ends, and an application that reads the body gets an error."""

    async def scenario(application: Echo, address: str) -> None:
        connection = await Connection.open(address)
        await connection.send(data)
        connection.end()
        assert await connection.read_all() == b""
        await _eventually(lambda: application.broken == broken)
        assert application.bodies == []

    run(scenario)


@pytest.mark.parametrize(
    ("data", "answer"),
    [
        (post(b"/refused", b"", CLOSE, length=20 << 20), b"HTTP/1.1 401"),
        (post(b"/refused", b"", length=20 << 20).replace(b"HTTP/1.1", b"HTTP/1.0"), b"HTTP/1.1 401"),
        (head(b"/refused", HOST, CLOSE, b"transfer-encoding: chunked", method=b"POST"), b"HTTP/1.1 4"),
        (head(b"/", HOST, b"content-length: no number", method=b"POST"), b"HTTP/1.1 400"),
        (head(b"/", HOST, b"a: " + bytes(1 << 16), method=b"POST"), b"HTTP/1.1 4"),
        (head(b"/", HOST, CLOSE), b"HTTP/1.1 200"),
    ],
    ids=["length", "1.0", "chunks", "not HTTP", "long head", "more than one request"],
)
def test_whoever_sends_on_after_the_last_answer_hears_it(run: Run, data: bytes, answer: bytes) -> None:
    """The server closes its side and reads on, because unread bytes at a close cause a reset."""

    async def scenario(application: Echo, address: str) -> None:
        heard = await asyncio.to_thread(_send_all_then_read, address, data + bytes(20 << 20))
        assert heard.startswith(answer)
        assert heard.endswith((b"bad token", b"}", b"content-length: 0\r\nconnection: close\r\n\r\n"))
        assert len(application.bodies) == (answer == b"HTTP/1.1 200")

    run(scenario)


def test_what_comes_after_the_last_answer_is_read_for_a_while(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """This takes no longer than for bytes after an answer on a kept connection."""
    monkeypatch.setattr(guarded_protocol, "DRAIN_TIMEOUT_S", 0.5)
    monkeypatch.setattr(connections, "SWEEP_S", 0.05)

    async def scenario(application: Echo, address: str) -> None:
        connection = await Connection.open(address)
        await connection.send(post(b"/refused", b"", CLOSE, length=1 << 40))
        assert (await connection.read_all()).endswith(b"bad token")
        async with asyncio.timeout(60):
            while await connection.is_taken(b"more"):
                await asyncio.sleep(0.02)

    run(scenario)


def _send_all_then_read(address: str, data: bytes) -> bytes:
    """Like Python's http.client: nothing is read until everything is sent. Raises OSError for a reset."""
    with socket.create_connection(parse_host_port(address), timeout=60) as sock:
        sock.sendall(data)
        parts = []
        while part := sock.recv(1 << 16):
            parts.append(part)
        return b"".join(parts)


async def _eventually(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not condition():
            await asyncio.sleep(0.01)
