"""Connections to Redis or Valkey, which may be unavailable at any time."""

from __future__ import annotations

import time
from typing import Any, Final

from redis.asyncio import ConnectionPool, Redis
from redis.exceptions import ReadOnlyError, RedisError

from shared.redis_address import parse_redis_address
from shared.redis_sentinel import open_primary_pool
from shared.settings import Settings

REDIS_FAILURES: Final = (RedisError, OSError, TimeoutError)
"""The exceptions of a command when Redis is unavailable."""


def open_redis(settings: Settings, timeout_s: float) -> Redis:
    """A client with its own pool; it connects with the first command.

    timeout_s: how long a connection, and each answer, may take.
    """
    client: Redis = Redis.from_pool(open_pool(settings, timeout_s))
    return client


def open_pool(settings: Settings, timeout_s: float) -> ConnectionPool:
    """The pool of open_redis, for a client of another class."""
    url, sentinels = parse_redis_address(settings.redis_url.get_secret_value())
    if sentinels is not None:
        return open_primary_pool(url, sentinels, timeout_s)
    pool: ConnectionPool = ConnectionPool.from_url(
        url, socket_timeout=timeout_s, socket_connect_timeout=timeout_s
    )
    return pool


async def require_primary(redis: Any) -> None:
    """Ask whether Redis answers and takes writes. Raises ReadOnlyError for a replica, REDIS_FAILURES."""
    told = await redis.execute_command("HELLO")
    facts = dict(zip(told[::2], told[1::2], strict=True))
    if facts.get(b"role") != b"master":
        raise ReadOnlyError("this is a read-only replica; name the primary")


class Pause:
    """The time after a failure in which Redis is not asked.

    A Redis that hangs costs one request per pause its timeout, not every request.
    """

    def __init__(self, length_s: float) -> None:
        self._length_s = length_s
        self._ends_at = 0.0

    @property
    def is_on(self) -> bool:
        """True until the last pause is over."""
        return time.monotonic() < self._ends_at

    def begin(self) -> None:
        """Do not ask from now on, for the length of a pause."""
        self._ends_at = time.monotonic() + self._length_s
