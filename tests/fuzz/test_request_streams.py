"""Request framing: we read the same requests as two other servers, or refuse the stream and close."""

from __future__ import annotations

import logging
import random
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fuzz.request_readers import (
    NO_NODE,
    LlhttpReader,
    Reading,
    differences,
    llhttp_reader,
    read_every_way,
)
from tests.fuzz.request_streams import HIDDEN, stream
from tests.loud import say_loudly

HOST = b"Host: x\r\n"
SMUGGLED = b"Content-Length: %d\r\n\r\n" % len(HIDDEN) + HIDDEN
CHUNKED = b"Transfer-Encoding: chunked\r\n\r\n%x\r\n" % len(HIDDEN) + HIDDEN + b"\r\n0\r\n\r\n"
NEXT = b"GET /next HTTP/1.1\r\n" + HOST + b"\r\n"


@pytest.fixture(autouse=True)
def _quiet() -> None:
    """No log line for each refused stream."""
    logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)


@pytest.fixture(scope="module")
def llhttp() -> Iterator[LlhttpReader | None]:
    """node's parser, if node is installed."""
    with llhttp_reader() as reader:
        yield reader


@pytest.mark.parametrize("token", [b"h2c", b"websocket", b"TLS/1.0, HTTP/1.1", b"x"])
@pytest.mark.parametrize("method", [b"GET", b"POST", b"DELETE", b"HEAD", b"OPTIONS"])
@pytest.mark.parametrize("body", [SMUGGLED, CHUNKED], ids=["length", "chunks"])
async def test_the_body_of_a_request_with_an_upgrade_is_its_own(
    token: bytes, method: bytes, body: bytes, llhttp: LlhttpReader | None, request: pytest.FixtureRequest
) -> None:
    """An unwanted upgrade is ignored (RFC 9110, 7.8), so the body is not a request."""
    data = method + b" /r0 HTTP/1.1\r\n" + HOST + b"Connection: Upgrade\r\nUpgrade: " + token + b"\r\n" + body
    expected = [
        (method.decode(), b"/r0", b"" if method in (b"GET", b"HEAD") else HIDDEN),
        ("GET", b"/next", b""),
    ]
    assert await read_every_way(data + NEXT) == Reading(expected, "open")
    _compare(Reading(expected, "open"), data + NEXT, llhttp, request)


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"CONNECT x:443 HTTP/1.1\r\n" + HOST + b"\r\n" + NEXT, "400"),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + NEXT, "505"),
        (b"GET / HTTP/2.0\r\n" + HOST + b"\r\n" + NEXT, "505"),
        (b"GET /\r\n\r\n" + NEXT, "400"),
        (b"SOURCE / ICE/1.0\r\n" + HOST + b"\r\n" + NEXT, "400"),
        (b"OPTIONS / RTSP/1.0\r\n" + HOST + b"\r\n" + NEXT, "400"),
        (b"GET / HTTP/1.1\r\n" + HOST + b"X: a\r\n folded\r\n\r\n" + NEXT, "400"),
        (b"GET / HTTP/1.1\r\n" + HOST + b"X: a\n\r\n" + NEXT, "400"),
        (b"GET / HTTP/1.1\n" + b"Host: x\n\n", "400"),
        (b"GET / HTTP/1.1\r\n" + HOST + b"X: a\x00b\r\n\r\n" + NEXT, "400"),
        (b"GET / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n" + NEXT, "400"),
        (b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 5\r\n" + CHUNKED + NEXT, "400"),
        (b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 0\r\n" + SMUGGLED + NEXT, "400"),
        (b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 33, 33\r\n\r\n" + HIDDEN + NEXT, "400"),
        (b"POST / HTTP/1.0\r\n" + HOST + CHUNKED + NEXT, "400"),
        (b"POST / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: gzip\r\n" + CHUNKED + NEXT, "400"),
        (b"POST / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n" + NEXT, "400"),
        (b"POST / HTTP/1.1\r\n" + HOST + CHUNKED.replace(b"\r\n0\r\n", b"\n0\r\n") + NEXT, "400"),
        (b"GET / HTTP/1.1\r\nHost: x y\r\n\r\n" + NEXT, "400"),
        (b"\r\n\r\nGET / HTTP/1.1\r\n" + HOST + b"\r\n" + NEXT, "400"),
    ],
    ids=repr,
)
async def test_what_other_servers_could_read_otherwise_is_refused(data: bytes, status: str) -> None:
    """Nothing after it is read, because the connection is closed."""
    assert await read_every_way(data) == Reading([], "refused", status)


async def test_trailers_are_no_headers_and_no_part_of_a_body() -> None:
    """This holds for any name of a trailer (RFC 9110, 6.5.1)."""
    trailers = b"Authorization: Bearer x\r\nOrigin: https://y\r\nHost: y\r\n\r\n"
    data = b"POST /r0 HTTP/1.1\r\n" + HOST + CHUNKED.removesuffix(b"\r\n") + trailers + NEXT
    read = await read_every_way(data)
    assert read == Reading([("POST", b"/r0", HIDDEN), ("GET", b"/next", b"")], "open")


async def test_an_absolute_target_is_read_as_its_path() -> None:
    """The absolute form of a target is for proxies (RFC 9112, 3.2.2)."""
    data = b"GET http://y/r0?a HTTP/1.1\r\n" + HOST + b"\r\nGET http://y HTTP/1.1\r\n" + HOST + b"\r\n"
    read = await read_every_way(data)
    assert read == Reading([("GET", b"/r0?a", b""), ("GET", b"/", b"")], "open")


@settings(max_examples=400, deadline=None)
@given(seed=st.integers(0, 1 << 64))
async def test_generated_streams_are_read_as_other_servers_read_them(
    seed: int, llhttp: LlhttpReader | None, request: pytest.FixtureRequest
) -> None:
    """The stream arrives in one piece, in a few, byte by byte, and with the sending side closed."""
    data = stream(random.Random(seed))
    _compare(await read_every_way(data), data, llhttp, request)


@pytest.mark.parametrize("upgrade", [b"", b"Connection: Upgrade\r\nUpgrade: x\r\n", b"Connection: close\r\n"])
async def test_spaces_behind_a_coding_are_no_part_of_it_and_a_tab_is_refused(
    upgrade: bytes, llhttp: LlhttpReader | None, request: pytest.FixtureRequest
) -> None:
    """llhttp treats a tab as a part of the coding; with an upgrade the request then has no body."""
    begin, (head, _, body) = b"POST /r0 HTTP/1.1\r\n" + HOST + upgrade, CHUNKED.partition(b"\r\n")
    spaced, tabbed = (begin + head + behind + b"\r\n" + body for behind in (b"  ", b" \t"))
    ours = await read_every_way(spaced)
    assert ours.requests == [("POST", b"/r0", HIDDEN)]
    assert ours.end != "refused"
    _compare(ours, spaced, llhttp, request)
    assert await read_every_way(tabbed + NEXT) == Reading([], "refused", "400")


def _compare(ours: Reading, data: bytes, llhttp: LlhttpReader | None, request: pytest.FixtureRequest) -> None:
    if llhttp is None:
        say_loudly(request, NO_NODE)
    assert differences(ours, data, llhttp) == []
