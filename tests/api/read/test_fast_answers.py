"""Prebuilt answers of the fast path end with their blobs, are counted and logged, and keep no secret."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from structlog.contextvars import merge_contextvars
from structlog.testing import capture_logs

from api.read.fast_path import FastProtocol
from api.read.header_memo import HeaderMemo
from shared.messages import Change
from shared.metrics import HTTP_REQUESTS
from tests.api.read.faulty_storage import put
from tests.api.read.ways import (
    HOST,
    KEY,
    PATHS,
    both_ways,
    request,
)


async def test_a_message_ends_fast_answers_of_the_old_body_at_once(tmp_path: Path) -> None:
    """The next request is answered by the application, and the one after it is fast and new."""
    async with both_ways(tmp_path) as ways:
        storage: Any = ways.service._tree._files._storage
        await put(storage, KEY, b"new body\n")
        assert KEY.encode() in (await ways.heard(request(PATHS[KEY], HOST))).data
        ways.service.apply(Change((KEY,)))
        for _ in range(3):
            assert (await ways.heard(request(PATHS[KEY], HOST))).data.endswith(b"\r\n\r\nnew body\n")
        ways.service.suspect_all()
        assert ways.service.fast.targets == {}


async def test_what_leaves_the_cache_leaves_the_fast_path(tmp_path: Path) -> None:
    """Prebuilt answers never hold a body that the cache does not count."""
    async with both_ways(tmp_path) as ways:
        assert len(ways.service.fast.targets) == len(PATHS)
        ways.service._cache.remove(KEY)
        assert PATHS[KEY] not in b"".join(ways.service.fast.targets)
        assert len(ways.service.fast.targets) == len(PATHS) - 1


async def test_a_blob_whose_time_is_over_is_not_answered_fast(tmp_path: Path) -> None:
    """A blob whose time-to-live is nearly over is confirmed before it ends."""
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
        async with asyncio.timeout(60):
            while blob.confirmed_at == confirmed_at:
                await asyncio.sleep(0.01)


async def test_access_logs_and_metrics_have_the_fast_answers_too(tmp_path: Path) -> None:
    """They have the same log line, and the same count by route, as answers of the application."""
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
    """It stores no header values except accepted encodings and ETags."""
    memo = HeaderMemo(takes_origin=True)
    for number in range(40_000):
        memo.read(HOST + b"\r\nAuthorization: Bearer secret-%d\r\nCookie: a=secret\r\n\r\n" % number)
        memo.read(HOST + b'\r\nX-%d: secret\r\nIf-None-Match: "%d"\r\n\r\n' % (number, number))
    kept = repr((memo._wishes.keys(), memo._kinds, memo._plain_wishes))
    assert "secret" not in kept
    assert "registry.example" not in kept
    assert len(memo._wishes) <= 16_384
    assert len(memo._kinds) <= 1024
