"""Connections that ask for too much or are too slow are refused or limited, never answered with a 500."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, ClassVar
from weakref import WeakKeyDictionary

import pytest
from uvicorn.server import ServerState

from shared.http import connections, guarded_protocol
from shared.http.connections import Connections
from shared.http.guarded_protocol import GuardedProtocol
from shared.http.request_head import MAX_HEAD_BYTES, MAX_HEADERS, MAX_TARGET_BYTES
from tests.api.read.wire import Endpoint
from tests.shared.http.asgi import answer, live
from tests.shared.http.raw import Connection, conversation, head
from tests.stack import eventually, serving

HOST = b"host: registry.example"
BODY = bytes(1 << 16)


class Application:
    """Answers with 64 KiB once it may; counts its requests."""

    def __init__(self) -> None:
        self.asked = 0
        self.is_open = asyncio.Event()
        self.is_open.set()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            return await live(receive, send)
        self.asked += 1
        await self.is_open.wait()
        return await answer(send, 200, BODY)


@asynccontextmanager
async def guarded() -> AsyncIterator[tuple[Application, str]]:
    """A server, and its address."""
    application = Application()
    async with serving(application, Guarded) as url:
        yield application, url.removeprefix("http://")


class Guarded(GuardedProtocol):
    """The protocol, with separate book-keeping for the server of this test."""

    _all: ClassVar[WeakKeyDictionary[ServerState, Connections]] = WeakKeyDictionary()


def held() -> Connections:
    """The book-keeping of that server."""
    return list(Guarded._all.values())[-1]


async def _eventually(condition: Callable[[], bool]) -> None:
    async def is_so() -> bool:
        return condition()

    await eventually(is_so)


@pytest.mark.parametrize(
    ("data", "status", "message"),
    [
        (head(b"/" + b"a" * MAX_TARGET_BYTES, HOST), 414, "request target is too long"),
        (b"GET /" + b"a" * MAX_TARGET_BYTES, 414, "request target is too long"),
        (head(b"/", HOST, b"a: " + b"b" * MAX_HEAD_BYTES), 431, "request headers are too long"),
        (b"GET / HTTP/1.1\r\na: " + b"b" * MAX_HEAD_BYTES, 431, "request headers are too long"),
        (head(b"/", HOST, *[b"a: b"] * MAX_HEADERS), 431, "request has too many headers"),
        (b"G\x00T / HTTP/1.1\r\n\r\n", 400, "request is not HTTP"),
        (head(b"/", HOST, b"content-length: x"), 400, "request is not HTTP"),
        (head(b"/", HOST, b"a\x00b: c"), 400, "request is not HTTP"),
        (head(b"/", HOST, b"content-length: 5", b"transfer-encoding: chunked"), 400, "request is not HTTP"),
        (head(b"/"), 400, "a request needs exactly one Host header"),
        (head(b"/", HOST, HOST), 400, "a request needs exactly one Host header"),
        (head(b"*", method=b"OPTIONS"), 400, "a request needs exactly one Host header"),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400, "request is not HTTP"),
    ],
)
async def test_what_breaks_a_rule_or_a_limit_is_refused_in_json(
    data: bytes, status: int, message: str
) -> None:
    """Each refusal has a request id and ends the connection; the application gets no request."""
    async with guarded() as (application, address):
        answer = await conversation(address, data)
        lines, _, body = answer.partition(b"\r\n\r\n")
        assert lines.startswith(b"HTTP/1.1 %d " % status)
        assert b"connection: close" in lines
        error = json.loads(body)
        assert error["message"] == message
        assert b"x-request-id: %s" % error["request_id"].encode() in lines
        assert application.asked == 0


async def test_heads_up_to_the_limits_are_taken() -> None:
    """The limits are exact."""
    async with guarded() as (application, address):
        lines = [HOST, *[b"a: b"] * (MAX_HEADERS - 2), b"connection: close"]
        target = b"/" + b"a" * (MAX_TARGET_BYTES - 1)
        assert (await conversation(address, head(target, *lines))).startswith(b"HTTP/1.1 200")
        assert application.asked == 1


async def test_a_request_of_http_1_0_needs_no_host() -> None:
    """The header came with 1.1 (RFC 9112, 3.2); health checks of load balancers omit it."""
    async with guarded() as (_, address):
        assert (await conversation(address, b"GET / HTTP/1.0\r\n\r\n")).startswith(b"HTTP/1.1 200")


async def test_trailers_and_chunk_extensions_are_heads_too() -> None:
    """The parts between the bytes of a body are limited too."""
    async with guarded() as (_, address):
        begun = head(b"/", HOST, b"transfer-encoding: chunked", method=b"POST")
        for endless in (b"0\r\na: " + b"b" * (2 * MAX_HEAD_BYTES), b"1;" + b"a" * (2 * MAX_HEAD_BYTES)):
            connection = await Connection.open(address)
            await connection.send(begun)
            await connection.send(endless)
            assert await connection.is_ended()


@pytest.mark.parametrize(
    ("timeout", "data"),
    [
        ("HEAD_TIMEOUT_S", b"GET / HTTP/1.1\r\nhost: a\r\na: "),
        ("HEAD_TIMEOUT_S", b"G"),
        ("DRAIN_TIMEOUT_S", head(b"/", HOST, b"content-length: 9") + b"half"),
        ("STALL_TIMEOUT_S", head(b"/", HOST) * 200),
    ],
)
async def test_who_sends_or_takes_too_slowly_is_dropped(
    timeout: str, data: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sending a byte from time to time keeps no connection: half a head, half a body, unread answers."""
    monkeypatch.setattr(guarded_protocol, timeout, 0.2)
    monkeypatch.setattr(connections, "SWEEP_S", 0.05)
    async with guarded() as (_, address):
        connection = await Connection.open(address, receive_bytes=4096)
        await connection.send(data)
        await _eventually(lambda: len(held()._live) == 1)
        began = time.monotonic()
        while held()._live:
            await connection.send(b"x" if timeout == "HEAD_TIMEOUT_S" else b"")
            await asyncio.sleep(0.05)
            assert time.monotonic() - began < 30


async def test_who_vanishes_in_the_middle_of_a_body_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    """It would hold its publish slot forever; a client that has sent everything may wait for the answer."""
    monkeypatch.setattr(guarded_protocol, "BODY_TIMEOUT_S", 0.3)
    monkeypatch.setattr(connections, "SWEEP_S", 0.05)
    async with guarded() as (application, address):
        application.is_open.clear()
        whole, half = await Connection.open(address), await Connection.open(address)
        post = head(b"/", HOST, b"content-length: 9", method=b"POST")
        await whole.send(post + b"all of it")
        await half.send(post + b"half")
        assert await half.is_ended()
        application.is_open.set()
        assert (await whole.read()).startswith(b"HTTP/1.1 200")


async def test_an_application_sees_no_trailer_among_the_headers() -> None:
    """They are missing at the beginning and after the body, so a proxy that checks headers misses nothing."""
    seen: list[tuple[bytes, bytes]] = []

    async def application(scope: Any, receive: Any, send: Any) -> None:
        while (await receive())["more_body"]:
            pass
        seen.extend(scope["headers"])
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body"})

    endpoint = Endpoint(GuardedProtocol, application)
    begun = head(b"/", HOST, b"transfer-encoding: chunked", method=b"POST")
    await endpoint.hear([begun, b"1\r\na\r\n", b"0\r\nauthorization: Bearer x\r\n\r\n"])
    assert seen == [(b"host", b"registry.example"), (b"transfer-encoding", b"chunked")]


async def test_requests_sent_ahead_wait_unread() -> None:
    """One is answered at a time; most bytes of the others stay with the client."""
    async with guarded() as (application, address):
        application.is_open.clear()
        connection = await Connection.open(address)
        await connection.send(head(b"/", HOST) * 1000)
        await _eventually(lambda: application.asked == 1)
        await asyncio.sleep(0.1)  # long enough for other requests to begin, if they could
        assert application.asked == 1
        application.is_open.set()
        while application.asked < 1000:
            assert await connection.read()


async def test_too_many_connections_make_room_for_new_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    """Connections that were idle longest are closed first; every new client is answered."""
    monkeypatch.setattr(connections, "MAX_CONNECTIONS", 40)
    async with guarded() as (_, address):
        opened = [await Connection.open(address) for _ in range(200)]
        await opened[-1].send(head(b"/", HOST))
        assert (await opened[-1].read()).startswith(b"HTTP/1.1 200")

        await _eventually(lambda: 20 <= len(held()._live) <= 40)
        assert await opened[0].is_ended()


@pytest.mark.parametrize(
    "pieces",
    [
        [b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 90],
        [head(b"/", HOST) * 20],
    ],
)
async def test_what_clients_make_us_hold_is_bounded_together(
    pieces: Sequence[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """For half-sent heads and unread answers together: the connections that stalled longest are closed."""
    monkeypatch.setattr(connections, "MAX_HELD_BYTES", 1 << 20)
    async with guarded() as (_, address):
        opened = []
        for _ in range(100):
            connection = await Connection.open(address, receive_bytes=4096)
            for piece in pieces:
                await connection.send(piece)
            opened.append(connection)
        await _eventually(lambda: 0 < len(held()._live) < 100)
        last = await Connection.open(address)
        await last.send(head(b"/", HOST))
        assert (await last.read()).startswith(b"HTTP/1.1 200")
        assert held()._held_bytes <= 1 << 20


async def test_a_body_with_get_is_dropped_as_it_comes() -> None:
    """It has no meaning (RFC 9110, 9.3.1); the next request on the connection is answered."""
    async with guarded() as (application, address):
        connection = await Connection.open(address)
        size = 4 << 20
        await connection.send(head(b"/", HOST, b"content-length: %d" % size) + bytes(size))
        await connection.send(head(b"/", HOST, b"connection: close"))
        answers = await connection.read_all()
        assert answers.count(b"HTTP/1.1 200") == 2
        assert application.asked == 2


async def test_what_nobody_reads_of_bodies_is_dropped_at_a_bounded_rate(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A refused client may continue to send, to read why, but not so fast that others are slowed down."""
    size, seconds = 1 << 20, 1.5
    monkeypatch.setattr(connections, "DROPPED_BYTES_PER_S", 2 * size / seconds)
    async with guarded() as (_, address):
        began = time.monotonic()

        async def post() -> None:
            data = head(b"/", HOST, b"content-length: %d" % size, method=b"POST") + bytes(size)
            answers = await conversation(address, data + head(b"/", HOST, b"connection: close"))
            assert answers.count(b"HTTP/1.1 200") == 2

        async with asyncio.TaskGroup() as group:
            posts = [group.create_task(post()) for _ in range(2)]
            assert (await conversation(address, head(b"/", HOST, b"connection: close"))).endswith(BODY)
            assert not any(one.done() for one in posts)
        assert time.monotonic() - began > 0.8 * seconds
