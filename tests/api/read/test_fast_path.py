"""The fast path answers as the long way does, byte for byte, or leaves the request to it."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from structlog.contextvars import merge_contextvars
from structlog.testing import capture_logs
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from api.read.app import ReadService
from api.read.fast_path import READ_SERVICE, FastProtocol
from api.read.header_memo import HeaderMemo
from api.read.metrics import FAST_NOT_MODIFIED, FAST_OK
from deploy.asgi import at_the_edge
from shared.blobs import CATALOG_KEY, CONFIG_KEY
from shared.http.guarded_protocol import GuardedProtocol
from shared.jobs import Change
from shared.metrics import HTTP_REQUESTS
from shared.settings import Settings
from shared.storage.filesystem import FileSystemStorage
from tests.api.read.faulty_storage import put
from tests.api.read.wire import Endpoint, Heard

KEY, OTHER_KEY = "index/he/ll/hello", "index/wo/rl/world"
ARCHIVE_KEY, METADATA_KEY = "dl/hello/0.1.0/download", "dl/hello/0.1.0/metadata"
LINES = b'{"schema_version":"x07.index-entry@0.1.0","name":"hello","version":"0.1.0"}\n' * 30
PATHS = {
    KEY: b"/index/he/ll/hello",
    OTHER_KEY: b"/index/wo/rl/world",
    ARCHIVE_KEY: b"/v1/packages/hello/0.1.0/download",
    METADATA_KEY: b"/v1/packages/hello/0.1.0/metadata",
    CATALOG_KEY: b"/index/catalog.json",
    CONFIG_KEY: b"/index/config.json",
}
HOST = b"Host: registry.example"


class Ways:
    """The same read service behind the fast path and behind the long way alone."""

    def __init__(self, service: ReadService, settings: Settings) -> None:
        app = at_the_edge(service, settings)
        self.service = service
        self.fast = Endpoint(FastProtocol, app, {READ_SERVICE: service})
        self.long = Endpoint(GuardedProtocol, app)
        self.plain = Endpoint(HttpToolsProtocol, app)

    @property
    def fast_answers(self) -> int:
        """How many answers the fast path gave, in the metrics already or not yet."""
        counted = FAST_OK._value.get() + FAST_NOT_MODIFIED._value.get()
        waiting = sum(tally.ok + tally.not_modified for tally in self.service.fast.tallies.values())
        return int(counted) + waiting

    async def warm(self) -> None:
        """Every blob is cached, and the fast path knows it in every coding."""
        for path in PATHS.values():
            for accepted in (b"", b"gzip", b"zstd", b"gzip, zstd", b"zstd;q=0.5, gzip"):
                await self.fast.hear([request(path, HOST, b"Accept-Encoding: " + accepted)])

    async def heard(self, *pieces: bytes) -> Heard:
        """What both ways say; fails if they do not say the same, or fail at all."""
        fast, long = await self.fast.hear(pieces), await self.long.hear(pieces)
        assert fast == long
        assert b"HTTP/1.1 500" not in fast.data
        return fast


def request(path: bytes, *lines: bytes, method: bytes = b"GET", version: bytes = b"HTTP/1.1") -> bytes:
    """A request head."""
    return b"\r\n".join([b" ".join([method, path, version]), *lines, b"", b""])


def etag(body: bytes) -> bytes:
    """The validator of a body."""
    return b'"' + hashlib.sha256(body).hexdigest().encode() + b'"'


def variant(body: bytes) -> bytes:
    """What stands for a compressed body."""
    return zlib.compress(body)


@asynccontextmanager
async def both_ways(
    root: Path, origins: tuple[str, ...] = (), ttl_s: float = 3600, *, access_log: bool = False
) -> AsyncIterator[Ways]:
    """Both ways over a small published tree, warm."""
    storage = FileSystemStorage(root)
    for key in PATHS:
        await put(storage, key, key.encode() + LINES)
    for suffix in (".gz", ".zst"):
        await put(storage, KEY + suffix, suffix.encode() + variant(LINES), identity=KEY.encode() + LINES)
    settings = Settings(data_dir=root, read_ttl_seconds=ttl_s, cors_origins=origins, access_log=access_log)
    ways = Ways(ReadService(storage, settings), settings)
    await ways.warm()
    yield ways
    await storage.close()


Scenario = Callable[[Ways], Awaitable[None]]


def run(root: Path, scenario: Scenario, origins: tuple[str, ...] = ()) -> None:
    """One scenario in a loop of its own."""

    async def running() -> None:
        async with both_ways(root, origins) as ways:
            await scenario(ways)

    asyncio.run(running())


IDENTITY_ETAG, GZIP_ETAG = etag(KEY.encode() + LINES), etag(b".gz" + variant(LINES))
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
BEHIND = [b""] * 8 + [b"hello", b"\r\n", b"0\r\n\r\n", b"5\r\nhello\r\n0\r\n\r\n", b"\x00", b"GET"]

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
    """The data in pieces."""
    places = sorted({int(len(data) * one) for one in cuts} | {0, len(data)})
    return [data[start:end] for start, end in pairwise(places)]


@pytest.mark.parametrize(("origins", "examples"), [((), 800), (("https://web.example",), 200), (("*",), 100)])
def test_thousands_of_raw_requests_are_answered_the_same_both_ways(
    tmp_path_factory: pytest.TempPathFactory, origins: tuple[str, ...], examples: int
) -> None:
    """Status, headers and body, and whether the connection is held; alone, pipelined, and cut anywhere."""
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
    """With a 400, or with silence until there is more."""

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
    """Talk to both ways about many generated things; how many answers were fast."""
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
    """The guards change nothing for a client that keeps the rules; every plain request is fast."""

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
    """Command lines, and proxies as they are unless told otherwise, open one for each request."""

    async def scenario(ways: Ways) -> None:
        before = ways.fast_answers
        heard = await ways.heard(data, request(PATHS[KEY], HOST))
        assert heard == await ways.plain.hear([data])
        assert heard.is_closed
        assert b"connection: close" in heard.data
        assert ways.fast_answers == before + 1

    run(tmp_path, scenario)


def test_a_request_cut_at_every_byte_is_answered_the_same(tmp_path: Path) -> None:
    """And the next one on the same connection is fast again."""
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


@pytest.mark.parametrize("line", [b"Origin: https://web.example", b"Range: bytes=0-1", b"TE: trailers"])
def test_what_the_fast_path_does_not_know_it_leaves_alone(tmp_path: Path, line: bytes) -> None:
    """With CORS on, an Origin is for the middleware to judge."""

    async def scenario(ways: Ways) -> None:
        before = ways.fast_answers
        await ways.heard(request(PATHS[ARCHIVE_KEY], HOST, line))
        assert ways.fast_answers == before

    run(tmp_path, scenario, ("https://web.example",))


async def test_a_message_ends_fast_answers_of_the_old_body_at_once(tmp_path: Path) -> None:
    """The very next request goes the long way, and the one after it is fast and new."""
    async with both_ways(tmp_path) as ways:
        storage: Any = ways.service._tree._storage
        await put(storage, KEY, b"new body\n")
        assert KEY.encode() in (await ways.heard(request(PATHS[KEY], HOST))).data
        ways.service.apply(Change((KEY,)))
        for _ in range(3):
            assert (await ways.heard(request(PATHS[KEY], HOST))).data.endswith(b"\r\n\r\nnew body\n")
        ways.service.suspect_all()
        assert ways.service.fast.targets == {}


async def test_what_leaves_the_cache_leaves_the_fast_path(tmp_path: Path) -> None:
    """Prebuilt answers hold no body that the cache does not count."""
    async with both_ways(tmp_path) as ways:
        assert len(ways.service.fast.targets) == len(PATHS)
        ways.service._cache.remove(KEY)
        assert PATHS[KEY] not in b"".join(ways.service.fast.targets)
        assert len(ways.service.fast.targets) == len(PATHS) - 1


async def test_a_blob_whose_time_is_over_is_not_answered_fast(tmp_path: Path) -> None:
    """And one whose time is nearly over is confirmed while it still is."""
    async with both_ways(tmp_path, ttl_s=0) as ways:
        before = ways.fast_answers
        await ways.heard(request(PATHS[KEY], HOST))
        assert ways.fast_answers == before
    async with both_ways(tmp_path, ttl_s=100) as ways:
        blob = ways.service._cache.peek(KEY)
        assert blob is not None
        blob.confirmed_at -= 80
        confirmed_at, before = blob.confirmed_at, ways.fast_answers
        await ways.heard(request(PATHS[KEY], HOST))
        assert ways.fast_answers == before + 1
        async with asyncio.timeout(5):
            while blob.confirmed_at == confirmed_at:
                await asyncio.sleep(0.01)


async def test_access_logs_and_metrics_have_the_fast_answers_too(tmp_path: Path) -> None:
    """The same line, and the same count by route, as on the long way."""
    route = HTTP_REQUESTS.labels("GET", "/index/{path}", 200)
    async with both_ways(tmp_path, access_log=True) as ways:
        FastProtocol._servers[ways.fast.state]._flush_counts()
        lines, counts = [], []
        for endpoint in (ways.fast, ways.long):
            before = route._value.get()
            with capture_logs(processors=[merge_contextvars]) as captured:
                await endpoint.hear([request(PATHS[KEY], HOST)])
            FastProtocol._servers[ways.fast.state]._flush_counts()
            counts.append(route._value.get() - before)
            (line,) = [one for one in captured if one["event"] == "http_request"]
            assert len(line.pop("request_id")) == 32
            assert line.pop("duration_ms") >= 0
            lines.append(line)
        assert lines[0] == lines[1]
        assert lines[0]["path"] == "/index/he/ll/hello"
        assert counts == [1, 1]


def test_the_memo_keeps_no_secret_and_is_bounded() -> None:
    """No value of a header but what was accepted and which validators were named."""
    memo = HeaderMemo(takes_origin=True)
    for number in range(40_000):
        memo.read(HOST + b"\r\nAuthorization: Bearer secret-%d\r\nCookie: a=secret\r\n\r\n" % number)
        memo.read(HOST + b'\r\nX-%d: secret\r\nIf-None-Match: "%d"\r\n\r\n' % (number, number))
    kept = repr((memo._wishes.keys(), memo._kinds, memo._plain_wishes))
    assert "secret" not in kept
    assert "registry.example" not in kept
    assert len(memo._wishes) <= 16_384
    assert len(memo._kinds) <= 1024
