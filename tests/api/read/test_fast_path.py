"""The fast path answers byte for byte like the ordinary path, or leaves the request to it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.api.read.ways import (
    ARCHIVE_KEY,
    GZIP_ETAG,
    HOST,
    IDENTITY_ETAG,
    KEY,
    PATHS,
    Ways,
    both_ways,
    request,
    run,
)

PLAIN_LINES = [
    HOST,
    b"host:registry.example:8080",
    b"HOST: index.x07.io",
    b"User-Agent: ureq/3.1.2",
    b"accept: */*",
    b"Accept-Encoding: gzip",
    b"accept-encoding: gzip;q=0.5, zstd;q=0.7, identity;q=0.1",
    b"Accept-Encoding: identity",
    b"Accept-Encoding:",
    b"aCCept-encoding: br, *;q=0",
    b"Connection: keep-alive",
    b"connection: Keep-Alive ",
    b"Authorization: Bearer x07t_secret",
    b"Cookie: x07_session=secret",
    b"X-Request-Id: 00000000000000000000000000000000",
    b"Cache-Control: no-cache",
    b"If-Modified-Since: Tue, 24 Nov 2026 17:00:00 GMT",
    b"If-Match: *",
    b"Origin: https://web.example",
    b"If-None-Match: " + IDENTITY_ETAG,
    b"if-none-match:   W/" + IDENTITY_ETAG + b"  ",
    b"If-None-Match: " + GZIP_ETAG,
    b'If-None-Match: "nope", ' + IDENTITY_ETAG + b", " + GZIP_ETAG,
    b"If-None-Match: *",
    b'If-None-Match: "nope"',
    b"If-None-Match: junk",
]
ODD_LINES = [
    b"Connection: close",
    b"Connection: keep-alive, upgrade",
    b"Connection: keep-alive, close",
    b"Connection:",
    b"Upgrade: h2c",
    b"Proxy-Connection: close",
    b"Keep-Alive: timeout=5",
    b"Expect: 100-continue",
    b"Content-Length: 0",
    b"Content-Length: 5",
    b"Content-Length: +5",
    b"content-length: 99999999999999999999999",
    b"Transfer-Encoding: chunked",
    b"Transfer-Encoding: gzip, chunked",
    b"transfer-encoding: xchunked",
    b"TE: trailers",
    b"Range: bytes=0-9",
    b"Range: bytes=999999-",
    b"range: lines=1-2",
    b"If-Range: " + IDENTITY_ETAG,
    b" folded: line",
    b"\tfolded",
    b"X-Folded: a\r\n b",
    b"No-Colon",
    b"Space : before",
    b": no name",
    b'Quo"te: a',
    b"X-Tab: a\tb",
    b"X-Control: a\x01b",
    b"X-Nul: a\x00b",
    b"X-Delete: a\x7f",
    b"X-High: \xe9\xff",
    b"X-Lone-Cr: a\rb",
    b"X-Lone-Lf: a\nb",
    b"X-Long: " + b"a" * 9000,
    b"\r\n".join([b"a: b"] * 99),
    b"Host: a b",
    b"HTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA",
    b"If-None-Match: " + b'"a", ' * 100,
    b"Origin: https://evil.example",
    b"Access-Control-Request-Method: GET",
]
TARGETS = [
    *PATHS.values(),
    *PATHS.values(),
    b"/index/he/ll/hello?x07_refresh=1",
    b"/index/he/ll/hello?",
    b"/index/he/ll/hello#fragment",
    b"/index/he/ll/hell%6f",
    b"/index/he/ll/hello/",
    b"//index/he/ll/hello",
    b"http://registry.example/index/he/ll/hello",
    b"http://index.x07.io/he/ll/hello",
    b"/he/ll/hello",
    b"/index/no/ne/none",
    b"/index/he/ll/Hello",
    b"/index/../he",
    b"/index/%zz",
    b"/index",
    b"/index/",
    b"/",
    b"/healthz",
    b"*",
    b"",
    b"hello",
    b"/index/he/ll/\xff",
]
METHODS = [b"GET"] * 6 + [b"HEAD", b"POST", b"OPTIONS", b"get", b"GETT", b"DELETE", b""]
VERSIONS = [b"HTTP/1.1"] * 8 + [b"HTTP/1.0", b"HTTP/1.2", b"HTTP/2.0", b"http/1.1", b"HTTP/1.1 ", b""]
HIDDEN = b"GET /index/he/ll/hello HTTP/1.1\r\nHost: a\r\n\r\n"
BEHIND = [b""] * 8 + [HIDDEN, b"hello", b"\r\n", b"0\r\n\r\n", b"5\r\nhello\r\n0\r\n\r\n", b"\x00", b"GET"]

Plain = st.builds(
    lambda path, lines: request(path, HOST, *lines),
    st.sampled_from(list(PATHS.values())),
    st.lists(st.sampled_from(PLAIN_LINES[3:]), max_size=6),
)
Odd = st.builds(
    lambda method, path, version, lines, behind: (
        request(path, *lines, method=method, version=version) + behind
    ),
    st.sampled_from(METHODS),
    st.sampled_from(TARGETS),
    st.sampled_from(VERSIONS),
    st.lists(st.sampled_from(PLAIN_LINES + ODD_LINES), max_size=7)
    | st.lists(st.sampled_from(PLAIN_LINES), max_size=5).map(lambda lines: [HOST, *lines]),
    st.sampled_from(BEHIND),
)
Cuts = st.lists(st.floats(0, 1), max_size=3)


def cut(data: bytes, cuts: Sequence[float]) -> list[bytes]:
    """The data, cut into pieces."""
    places = sorted({int(len(data) * one) for one in cuts} | {0, len(data)})
    return [data[start:end] for start, end in pairwise(places)]


@pytest.mark.parametrize(("origins", "examples"), [((), 800), (("https://web.example",), 200), (("*",), 100)])
def test_thousands_of_raw_requests_are_answered_the_same_both_ways(
    tmp_path_factory: pytest.TempPathFactory, origins: tuple[str, ...], examples: int
) -> None:
    """Status, headers, body and connection end are the same: alone, pipelined, and cut anywhere."""
    conversations = st.lists(
        st.tuples(st.lists(Plain | Odd, min_size=1, max_size=4), Cuts), min_size=2, max_size=4
    )

    async def talk(ways: Ways, spoken: list[tuple[list[bytes], list[float]]]) -> None:
        for requests, cuts in spoken:
            await ways.heard(*cut(b"".join(requests), cuts))
            await ways.heard(*requests)

    fast_answers = compare(tmp_path_factory.mktemp("tree"), conversations, talk, examples, origins)
    assert fast_answers > examples / 2


def test_rubbish_is_refused_the_same_both_ways(tmp_path: Path) -> None:
    """The answer is a 400, or nothing until more bytes arrive."""

    async def talk(ways: Ways, data: bytes) -> None:
        await ways.heard(data)
        await ways.heard(request(PATHS[KEY], HOST), data)

    compare(tmp_path, st.binary(max_size=80) | Odd.map(lambda one: one[:-3]), talk, 200)


def compare(
    root: Path,
    strategy: st.SearchStrategy[Any],
    talk: Callable[[Ways, Any], Awaitable[None]],
    examples: int,
    origins: tuple[str, ...] = (),
) -> int:
    """Send many generated inputs to both servers and compare. Returns how many answers were fast."""
    logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)
    with asyncio.Runner() as runner:
        context = both_ways(root, origins)
        ways = runner.run(context.__aenter__())
        before = ways.fast_answers

        @settings(max_examples=examples, deadline=None, suppress_health_check=list(HealthCheck))
        @given(spoken=strategy)
        def talk_once(spoken: Any) -> None:
            runner.run(talk(ways, spoken))

        try:
            talk_once()
            return ways.fast_answers - before
        finally:
            runner.run(context.__aexit__(None, None, None))


def test_plain_requests_are_answered_as_by_uvicorn_itself(tmp_path: Path) -> None:
    """The guards change nothing for a well-behaved client, and every plain request is answered fast."""

    async def scenario(ways: Ways) -> None:
        for path in PATHS.values():
            for line in PLAIN_LINES[3:]:
                data = request(path, HOST, line)
                before = ways.fast_answers
                heard = await ways.heard(data)
                assert heard == await ways.plain.hear([data])
                assert heard.data.startswith((b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 304 Not Modified\r\n"))
                assert not heard.is_closed
                assert ways.fast_answers == before + 1 or b"*;q=0" in line or b"identity;q" in line, data

    run(tmp_path, scenario)


@pytest.mark.parametrize(
    "data",
    [
        request(PATHS[KEY], HOST, b"Connection: close"),
        request(PATHS[KEY], HOST, b"connection:  Close ", b"If-None-Match: " + IDENTITY_ETAG),
        request(PATHS[KEY], HOST, b"Connection: close", b"Connection: keep-alive"),
        request(PATHS[KEY], HOST, version=b"HTTP/1.0"),
        request(PATHS[KEY], HOST, b"Connection: keep-alive", version=b"HTTP/1.0"),
    ],
)
def test_a_request_that_ends_its_connection_is_fast_too(tmp_path: Path, data: bytes) -> None:
    """Command lines, and proxies by default, open one connection per request."""

    async def scenario(ways: Ways) -> None:
        before = ways.fast_answers
        heard = await ways.heard(data, request(PATHS[KEY], HOST))
        assert heard == await ways.plain.hear([data])
        assert heard.is_closed
        assert b"connection: close" in heard.data
        assert ways.fast_answers == before + 1

    run(tmp_path, scenario)


def test_a_request_cut_at_every_byte_is_answered_the_same(tmp_path: Path) -> None:
    """The next request on the same connection is fast again."""
    data = request(PATHS[KEY], HOST, b"Accept-Encoding: gzip", b"If-None-Match: " + GZIP_ETAG)

    async def scenario(ways: Ways) -> None:
        for place in range(1, len(data)):
            before = ways.fast_answers
            heard = await ways.heard(data[:place], data[place:], data)
            assert heard.data.count(b"304 Not Modified") == 2
            assert ways.fast_answers == before + 1

    run(tmp_path, scenario)


@pytest.mark.parametrize(
    "data",
    [
        request(PATHS[KEY]),
        request(PATHS[KEY], HOST, HOST),
        request(PATHS[KEY], b"Host : a"),
        request(PATHS[KEY], HOST, b" folded"),
    ],
)
def test_a_head_that_breaks_the_rules_is_refused(tmp_path: Path, data: bytes) -> None:
    """RFC 9112: no Host (3.2), two of them, blanks before the colon (5.1), folding (5.2)."""

    async def scenario(ways: Ways) -> None:
        heard = await ways.heard(data)
        assert heard.data.startswith(b"HTTP/1.1 400 ")
        assert b'{"code":"X07REG_BAD_REQUEST"' in heard.data
        assert b"x-request-id: -" in heard.data

    run(tmp_path, scenario)


@pytest.mark.parametrize("token", [b"h2c", b"websocket", b"TLS/1.0"])
@pytest.mark.parametrize(
    "length", [b"Content-Length: %d\r\n\r\n", b"Transfer-Encoding: chunked\r\n\r\n%x\r\n"]
)
def test_the_body_of_a_request_with_an_upgrade_is_not_answered(
    tmp_path: Path, token: bytes, length: bytes
) -> None:
    """This holds whether the request before it was fast or not, and wherever the bytes are cut."""
    fast = request(PATHS[KEY], HOST)
    end = b"\r\n0\r\n\r\n" if b"chunked" in length else b""
    body = length % len(HIDDEN) + HIDDEN + end
    upgrading = request(PATHS[KEY], HOST, b"Connection: Upgrade", b"Upgrade: " + token)[:-2] + body

    async def scenario(ways: Ways) -> None:
        for pieces in ([upgrading], [fast, upgrading, fast], [fast + upgrading + fast]):
            heard = await ways.heard(*pieces)
            assert heard.data.count(b"HTTP/1.1 200 OK") == b"".join(pieces).count(HOST)
        for place in range(1, len(upgrading)):
            heard = await ways.heard(upgrading[:place], upgrading[place:] + fast)
            assert heard.data.count(b"HTTP/1.1 200 OK") == 2

    run(tmp_path, scenario)


@pytest.mark.parametrize("line", [b"Origin: https://web.example", b"Range: bytes=0-1", b"TE: trailers"])
def test_what_the_fast_path_does_not_know_it_leaves_alone(tmp_path: Path, line: bytes) -> None:
    """With CORS on, the middleware decides about an Origin."""

    async def scenario(ways: Ways) -> None:
        before = ways.fast_answers
        await ways.heard(request(PATHS[ARCHIVE_KEY], HOST, line))
        assert ways.fast_answers == before

    run(tmp_path, scenario, ("https://web.example",))
