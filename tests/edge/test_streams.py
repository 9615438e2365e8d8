"""Request framing behind the shipped nginx: a tier reads the same as without it, or nginx refuses."""

from __future__ import annotations

import logging
import random
from pathlib import Path

import pytest

from tests.fuzz.edge_reader import STREAMS_AT_ONCE, edge_differences, edge_reader
from tests.fuzz.request_readers import OurReader
from tests.fuzz.request_streams import HIDDEN, stream

HOST = b"Host: x\r\n"
UPGRADE = b"Connection: Upgrade\r\nUpgrade: h2c\r\n"
FRAMINGS = [
    b"Content-Length: %d\r\n\r\n" % len(HIDDEN) + HIDDEN,
    b"Transfer-Encoding: chunked\r\n\r\n%x\r\n" % len(HIDDEN) + HIDDEN + b"\r\n0\r\n\r\n",
]
GENERATED = 400


@pytest.fixture(autouse=True)
def _quiet() -> None:
    """No log line for each refused stream."""
    logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)


async def test_a_body_behind_an_upgrade_is_no_request_behind_the_edge_either(tmp_path: Path) -> None:
    """nginx neither forwards the upgrade nor separates the body from its request."""
    streams = [
        method + b" /r0 HTTP/1.1\r\n" + HOST + UPGRADE + framing
        for method in (b"GET", b"POST", b"DELETE", b"OPTIONS")
        for framing in FRAMINGS
    ]
    async with edge_reader(tmp_path / "edge") as edge:
        for data in streams:
            ours = await OurReader().read([data])
            read = await edge.read(data, len(ours.requests))
            assert len(ours.requests) == 1
            assert read.requests == ours.requests, data
        assert edge.read_at_tier == edge.heard == len(streams)


async def test_generated_streams_are_read_as_without_the_edge_or_refused(tmp_path: Path) -> None:
    """The streams are the fuzzer's, which can also send them through nginx for any length of time."""
    streams = [stream(random.Random(seed)) for seed in range(GENERATED)]
    async with edge_reader(tmp_path / "edge") as edge:
        for start in range(0, GENERATED, STREAMS_AT_ONCE):
            batch = streams[start : start + STREAMS_AT_ONCE]
            ours = [await OurReader().read([data]) for data in batch]
            assert await edge_differences(edge, batch, ours) == []
        assert 0 < edge.heard <= edge.read_at_tier
