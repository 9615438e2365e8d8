"""Counting attempts while Redis hangs. tests/http covers a working Redis and one that is away."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from redis.asyncio import Redis
from starlette.requests import Request

from api.write.attempt_counts import PAUSE_AFTER_FAILURE_S
from api.write.rate_limits import Attempt, RateLimits
from shared.errors import RateLimited
from shared.settings import Settings
from tests.conftest import MakeSettings

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


async def test_attempts_are_told_to_redis_behind_the_answer(make_default_settings: MakeSettings) -> None:
    """All of them are there in the end, and another process goes on from them."""
    settings = await make_default_settings(publish_attempts_per_minute=3)
    first, second = RateLimits(settings), RateLimits(settings)
    for _ in range(3):
        await first.require(Attempt.PUBLISH, REQUEST)
    await first.close()
    with pytest.raises(RateLimited):
        await second.require(Attempt.PUBLISH, REQUEST)
    async with Redis.from_url(settings.redis_url.get_secret_value()) as redis:
        [key] = [key async for key in redis.scan_iter(f"{settings.redis_namespace}:attempts:*")]
        assert await redis.get(key) == b"4"
    await second.close()
