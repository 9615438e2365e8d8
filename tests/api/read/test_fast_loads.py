"""An index file that is not in memory: loaded by the fast path, and answered as by the ordinary path."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from api.read import fast_path
from api.read.app import ReadService
from api.read.fast_loads import WAITING_AT_ONCE, index_key_of
from api.read.fast_path import FastProtocol
from api.read.metrics import HITS, HITS_MISSING, MISSES
from shared.errors import StorageFailed, StorageUnavailable
from shared.messages import Change
from shared.metrics import HTTP_IN_FLIGHT, HTTP_SECONDS
from shared.settings import Settings
from shared.storage.filesystem import FileSystemStorage
from tests.api.read.faulty_storage import FaultyStorage, faulty_directory, put
from tests.api.read.test_fast_path import Odd, Plain, cut
from tests.api.read.ways import HOST, KEY, PATHS, Ways, both_ways, etag, request
from tests.api.read.wire import Heard, Wire

SMALL_KEY = "index/3/s/sma"
SMALL_PATH = b"/index/3/s/sma"
SMALL = b'{"name":"sma","version":"0.1.0"}\n'
LARGE = b"a" * 5000
PLAIN = request(SMALL_PATH, HOST, b"Accept-Encoding: gzip")


def forget(ways: Ways) -> None:
    """Empty the cache, which is also what the fast path knows."""
    cache = ways.service._cache
    for key in list(cache._entries):
        cache.remove(key)


async def heard_cold(ways: Ways, *pieces: bytes) -> Heard:
    """The answers of both protocols, each with nothing in memory; fails if they differ."""
    forget(ways)
    fast = await ways.fast.hear(pieces)
    forget(ways)
    assert fast == await ways.long.hear(pieces)
    return fast


class Served:
    """A read service over a store that can be held, and one connection to its fast path."""

    def __init__(self, storage: FaultyStorage, root: Path) -> None:
        configured = Settings(data_dir=root, read_ttl_seconds=3600)
        self.storage = storage
        self.service = ReadService(storage, configured)  # type: ignore[arg-type]
        self.ways = Ways(self.service, configured)
        self.wire, self.protocol = self.connected()

    def connected(self) -> tuple[Wire, Any]:
        """A new connection."""
        fast, wire = self.ways.fast, Wire()
        protocol: Any = FastProtocol(fast.config, fast.state, fast._app_state)
        protocol.connection_made(wire)
        return wire, protocol

    @property
    def answers(self) -> list[bytes]:
        """The bodies of the answers so far; the statuses of those without one."""
        parts = bytes(self.wire.sent).split(b"HTTP/1.1 ")[1:]
        return [part.partition(b"\r\n\r\n")[2] if part.startswith(b"200") else part[:3] for part in parts]


Scenario = Callable[[Served], Awaitable[None]]


def run(root: Path, scenario: Scenario) -> None:
    """Run a scenario in an event loop of its own, over a tree with one small index file."""

    async def running() -> None:
        async with faulty_directory(root) as storage:
            await put(storage.storage, SMALL_KEY, SMALL)
            await scenario(Served(storage, root))

    asyncio.run(running())


async def until(condition: Callable[[], bool]) -> None:
    """Wait for what the event loop is about to do."""
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0.001)


async def is_held(served: Served) -> None:
    """Wait until a load has read the file and is held."""
    await until(lambda: served.storage.looks > 0)


@pytest.mark.parametrize(
    ("line", "key"),
    [
        (b"GET /index/3/s/sma HTTP/1.1", SMALL_KEY),
        (b"GET /index/1/a HTTP/1.1", "index/1/a"),
        (b"GET /index/2/ab HTTP/1.1", "index/2/ab"),
        (b"GET /index/he/ll/hello HTTP/1.1", KEY),
        (b"GET /index/he/ll/" + b"hell" + b"o" * 124 + b" HTTP/1.1", "index/he/ll/hell" + "o" * 124),
        (b"GET /index/he/ll/" + b"hell" + b"o" * 125 + b" HTTP/1.1", None),
        (b"GET /index/he/ll/world HTTP/1.1", None),
        (b"GET /index/3/t/sma HTTP/1.1", None),
        (b"GET /index/1/ab HTTP/1.1", None),
        (b"GET /index/he/ll/Hello HTTP/1.1", None),
        (b"GET /index/he/ll/hello?a HTTP/1.1", None),
        (b"GET /index/he/ll/hello.gz HTTP/1.1", None),
        (b"GET /index/config.json HTTP/1.1", None),
        (b"GET /index/he/ll/hello HTTP/1.0", None),
        (b"GET /index/he/ll/hello HTTP/1.1\n", None),
        (b"HEAD /index/he/ll/hello HTTP/1.1", None),
        (b"GET /he/ll/hello HTTP/1.1", None),
    ],
)
def test_only_the_plain_line_of_an_index_file_names_one(line: bytes, key: str | None) -> None:
    """Every other line is left to the application, which refuses or redirects."""
    assert index_key_of(line) == key


def test_raw_requests_are_answered_the_same_with_nothing_in_memory(tmp_path: Path) -> None:
    """Status, headers, body and connection end are the same: alone, pipelined, and cut anywhere."""
    small = st.sampled_from([PLAIN, request(SMALL_PATH, HOST, b"If-None-Match: " + etag(SMALL))])
    conversations = st.lists(
        st.tuples(
            st.lists(small | Plain | Odd, min_size=1, max_size=4), st.lists(st.floats(0, 1), max_size=3)
        ),
        min_size=1,
        max_size=3,
    )
    with asyncio.Runner() as runner:
        context = both_ways(tmp_path)
        ways = runner.run(context.__aenter__())
        runner.run(put(FileSystemStorage(tmp_path), SMALL_KEY, SMALL))
        before = ways.fast_answers

        async def talk(spoken: list[tuple[list[bytes], list[float]]]) -> None:
            for requests, cuts in spoken:
                await heard_cold(ways, *cut(b"".join(requests), cuts))
                await heard_cold(ways, *requests)

        @settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
        @given(spoken=conversations)
        def talk_once(spoken: list[tuple[list[bytes], list[float]]]) -> None:
            runner.run(talk(spoken))

        try:
            talk_once()
            assert ways.fast_answers - before > 40
        finally:
            runner.run(context.__aexit__(None, None, None))


def test_a_cold_file_is_answered_fast_and_counts_as_a_miss(tmp_path: Path) -> None:
    """The next reader of it is a hit; only the answer that waited is timed."""

    async def scenario(served: Served) -> None:
        timed = HTTP_SECONDS.labels("/index/{path}")
        misses, hits, sum_s = MISSES._value.get(), HITS._value.get(), timed._sum.get()
        for _ in range(2):
            served.protocol.data_received(PLAIN)
            await until(lambda: served.protocol.idle_since is not None)
        assert served.answers == [SMALL, SMALL]
        assert served.protocol._ordinary is None
        served.protocol._fast._flush_counts()
        assert (MISSES._value.get() - misses, HITS._value.get() - hits) == (1, 1)
        assert timed._sum.get() > sum_s

    run(tmp_path, scenario)


def test_large_files_keep_their_variants(tmp_path: Path) -> None:
    """Who accepts gzip gets the variant, which the application looks up."""

    async def scenario() -> None:
        async with both_ways(tmp_path) as ways:
            before = ways.fast_answers
            heard = await heard_cold(ways, request(PATHS[KEY], HOST, b"Accept-Encoding: gzip"))
            assert b"content-encoding: gzip" in heard.data
            assert ways.fast_answers == before
            heard = await heard_cold(ways, request(PATHS[KEY], HOST))
            assert b"content-encoding" not in heard.data
            assert ways.fast_answers == before + 1

    asyncio.run(scenario())


def test_what_comes_behind_is_answered_in_order(tmp_path: Path) -> None:
    """The ordinary protocol keeps it until the load has ended; the client may have sent its end as well."""

    async def scenario(served: Served) -> None:
        served.storage.hold()
        served.protocol.data_received(PLAIN)
        served.protocol.data_received(request(b"/healthz", HOST) + PLAIN)
        assert served.protocol.eof_received()
        await is_held(served)
        assert served.answers == []
        served.storage.release()
        await until(lambda: served.wire.is_closed)
        assert served.answers == [SMALL, b"ok", SMALL]
        assert served.storage.looks == 1

    run(tmp_path, scenario)


def test_nothing_behind_the_last_request_is_answered(tmp_path: Path) -> None:
    """RFC 9112, 9.6: not even looked at. The client is read for a while, so that it gets no reset."""

    async def scenario(served: Served) -> None:
        served.storage.hold()
        served.protocol.data_received(request(SMALL_PATH, HOST, b"Connection: close"))
        served.protocol.data_received(request(PATHS[KEY], HOST))
        await is_held(served)
        served.storage.release()
        await until(lambda: served.wire.is_closed)
        assert served.answers == [SMALL]
        assert served.storage.looks == 1
        assert served.protocol._ordinary is not None

    run(tmp_path, scenario)


def test_a_client_that_ends_its_side_gets_its_answer(tmp_path: Path) -> None:
    """RFC 9112, 9.6: the connection is closed after the answer."""

    async def scenario(served: Served) -> None:
        served.protocol.data_received(PLAIN)
        assert served.protocol.eof_received()
        await until(lambda: served.wire.is_closed)
        assert served.answers == [SMALL]

    run(tmp_path, scenario)


def test_a_server_that_stops_answers_first(tmp_path: Path) -> None:
    """A connection that waits for a load is not idle."""

    async def scenario(served: Served) -> None:
        served.storage.hold()
        served.protocol.data_received(PLAIN)
        served.protocol.shutdown()
        await is_held(served)
        assert not served.wire.is_closed
        served.storage.release()
        await until(lambda: served.wire.is_closed)
        assert served.answers == [SMALL]

    run(tmp_path, scenario)


@pytest.mark.parametrize("fault", [StorageUnavailable, StorageFailed])
def test_a_load_that_fails_is_answered_by_the_application(
    tmp_path: Path, fault: type[StorageUnavailable] | type[StorageFailed]
) -> None:
    """The client hears what it hears without the fast path, and the connection goes on."""

    async def scenario(served: Served) -> None:
        served.storage.fault = fault
        served.protocol.data_received(PLAIN)
        await until(lambda: len(served.answers) == 1)
        assert served.answers == [str(fault.status).encode()]
        served.storage.fault = None
        served.protocol.data_received(PLAIN)
        await until(lambda: len(served.answers) == 2)
        assert served.answers[1] == SMALL

    run(tmp_path, scenario)


def test_a_file_that_is_not_there_is_refused_by_the_application(tmp_path: Path) -> None:
    """The answer to a later request comes from memory."""

    async def scenario(served: Served) -> None:
        for _ in range(3):
            served.protocol.data_received(request(b"/index/no/ne/none", HOST))
            await until(lambda: served.protocol.idle_since is not None and not served.ways.fast.state.tasks)
        assert served.answers == [b"404"] * 3
        assert served.storage.looks == 1

    run(tmp_path, scenario)


def test_a_change_during_the_load_is_seen(tmp_path: Path) -> None:
    """Who asked before the message gets what storage had then; who asks after it, the new file."""

    async def scenario(served: Served) -> None:
        served.storage.hold()
        served.protocol.data_received(PLAIN)
        await is_held(served)
        await put(served.storage.storage, SMALL_KEY, SMALL * 2)
        served.service.apply(Change((SMALL_KEY,)))
        first, (served.wire, served.protocol) = served.wire, served.connected()
        served.protocol.data_received(PLAIN)
        served.storage.release()
        await until(lambda: bool(first.sent) and len(served.answers) == 1)
        assert first.sent.endswith(b"\r\n\r\n" + SMALL)
        assert served.answers == [SMALL * 2]

    run(tmp_path, scenario)


def test_an_exception_ends_the_connection(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise the request would be answered again, before the next one."""

    async def scenario(served: Served) -> None:
        raised: list[BaseException] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, told: raised.append(told["exception"]))

        def fail(*_: object) -> None:
            raise OSError("the log cannot be written")

        monkeypatch.setattr(fast_path, "_log", fail)
        served.protocol._fast.has_access_log = True
        in_flight = HTTP_IN_FLIGHT._value.get()
        served.protocol.data_received(PLAIN)
        await until(lambda: served.wire.is_closed)
        assert served.answers == [SMALL]
        assert [str(error) for error in raised] == ["the log cannot be written"]
        assert (served.protocol._awaited, HTTP_IN_FLIGHT._value.get()) == (None, in_flight)

    run(tmp_path, scenario)


@pytest.mark.parametrize("outcome", ["variants", "missing", "failure", "ttl"])
def test_a_request_that_is_handed_on_is_one_request(tmp_path: Path, outcome: str) -> None:
    """Storage is asked once, look-ups count once, and the time is that of the whole request."""

    async def scenario(served: Served) -> None:
        await put(served.storage.storage, KEY, LARGE)
        path = {"missing": b"/index/no/ne/none", "variants": PATHS[KEY]}.get(outcome, SMALL_PATH)
        if outcome == "ttl":
            served.protocol._fast.ttl_s = served.service.blobs._ttl_s = 0.0
        lookups = [HITS, HITS_MISSING, MISSES]
        before = [each._value.get() for each in lookups]
        timed = HTTP_SECONDS.labels("/index/{path}")
        sum_s, in_flight = timed._sum.get(), HTTP_IN_FLIGHT._value.get()
        served.storage.hold()
        served.protocol.data_received(request(path, HOST, b"Accept-Encoding: zstd"))
        assert HTTP_IN_FLIGHT._value.get() == in_flight + 1
        await is_held(served)
        await asyncio.sleep(0.2)
        served.storage.late_fault = StorageUnavailable if outcome == "failure" else None
        served.storage.release()
        await until(lambda: len(served.answers) == 1 and not served.ways.fast.state.tasks)
        expected = {"variants": LARGE, "missing": b"404", "failure": b"503", "ttl": SMALL}
        assert served.answers == [expected[outcome]]
        assert served.protocol._ordinary is not None
        assert served.storage.calls["get"] == (2 if outcome == "variants" else 1)
        assert [each._value.get() - old for each, old in zip(lookups, before, strict=True)] == [0, 0, 1]
        assert timed._sum.get() - sum_s >= 0.2
        assert HTTP_IN_FLIGHT._value.get() == in_flight

    run(tmp_path, scenario)


def test_a_client_that_leaves_is_forgotten(tmp_path: Path) -> None:
    """The load goes on, and the next reader finds the file in memory."""

    async def scenario(served: Served) -> None:
        served.storage.hold()
        served.protocol.data_received(PLAIN)
        await is_held(served)
        served.wire.close()
        served.protocol.connection_lost(None)
        served.storage.release()
        await until(lambda: not served.service.blobs._loads)
        assert served.answers == []
        served.wire, served.protocol = served.connected()
        served.protocol.data_received(PLAIN)
        assert served.answers == [SMALL]

    run(tmp_path, scenario)


def test_more_requests_than_may_wait_go_to_the_application(tmp_path: Path) -> None:
    """It refuses those that are too many for the server."""

    async def scenario(served: Served) -> None:
        served.storage.hold()
        connections = [served.connected() for _ in range(WAITING_AT_ONCE + 1)]
        for _, protocol in connections:
            protocol.data_received(PLAIN)
        assert [protocol._ordinary is None for _, protocol in connections] == [True] * WAITING_AT_ONCE + [
            False
        ]
        served.storage.release()
        await until(lambda: all(wire.sent.endswith(SMALL) for wire, _ in connections))
        assert served.storage.looks == 1

    run(tmp_path, scenario)
