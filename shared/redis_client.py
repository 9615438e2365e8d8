"""Connections to Redis or Valkey, which may be unavailable at any time."""

from __future__ import annotations

import time
from typing import Final

from redis.asyncio import Redis
from redis.exceptions import RedisError

from shared.settings import Settings

REDIS_FAILURES: Final = (RedisError, OSError, TimeoutError)
"""The exceptions of a command when Redis is unavailable."""


def open_redis(settings: Settings, timeout_s: float, *, connect_timeout_s: float | None = None) -> Redis:
    """A client with its own pool; it connects with the first command.

    timeout_s: how long an answer may take. connect_timeout_s: the same for a connection; timeout_s when None.
    """
    client: Redis = Redis.from_url(
        settings.redis_url.get_secret_value(),
        socket_timeout=timeout_s,
        socket_connect_timeout=timeout_s if connect_timeout_s is None else connect_timeout_s,
    )
    return client


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
