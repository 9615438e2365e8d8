"""Counting attempts while Redis hangs. tests/http covers a working Redis and one that is away."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.requests import Request

from api.write.rate_limits import PAUSE_AFTER_FAILURE_S, Attempt, RateLimits
from shared.settings import Settings

REQUEST = Request({"type": "http", "client": ("198.51.100.1", 1), "headers": []})


@asynccontextmanager
async def silent_redis(connections: list[bytes]) -> AsyncIterator[str]:
    """A Redis that accepts commands and never answers; its URL. connections: the first command of each."""

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append(await reader.read(65_536))
        await reader.read()
        writer.close()

    server = await asyncio.start_server(listen, "127.0.0.1", 0)
    try:
        yield f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}/0"
    finally:
        server.close()
        await server.wait_closed()


async def test_a_redis_that_hangs_slows_one_moment_only() -> None:
    """One request waits 0.1 s; then Redis is left alone for five seconds."""
    connections: list[bytes] = []
    async with silent_redis(connections) as url:
        limits = RateLimits(Settings(redis_url=url, publish_attempts_per_minute=1))
        began = time.monotonic()
        for _ in range(20):
            await limits.require(Attempt.PUBLISH, REQUEST)
        await asyncio.gather(*(limits.require(Attempt.PUBLISH, REQUEST) for _ in range(500)))
        turns = 1 + (time.monotonic() - began) // PAUSE_AFTER_FAILURE_S
        await limits.close()
    assert 1 <= len(connections) <= turns


async def test_of_a_crowd_that_meets_a_hanging_redis_few_ask_it() -> None:
    """The other requests learn from these that Redis is unavailable; a flood opens few connections."""
    connections: list[bytes] = []
    async with silent_redis(connections) as url:
        limits = RateLimits(Settings(redis_url=url))
        await asyncio.gather(*(limits.require(Attempt.PUBLISH, REQUEST) for _ in range(500)))
        await limits.close()
    assert 1 <= len(connections) <= 16
