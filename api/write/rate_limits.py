"""Limits attempts per minute, counted in Redis by address and by credential.

The limits protect against floods from one sender, not against guessing: secrets have 256 random bits. When
Redis is unavailable, attempts are not counted and no request is refused for them.
"""

from __future__ import annotations

import asyncio
from enum import StrEnum
from typing import Final, NamedTuple

import structlog
from starlette.requests import Request

from api.write.client_address import client_address
from api.write.credentials import SESSION_COOKIE, bearer_token, cookie_values, secret_hash
from shared.errors import RateLimited
from shared.redis_client import REDIS_FAILURES, Pause, open_redis
from shared.settings import Settings

WINDOW_S: Final = 60
# A Redis that hangs delays a request by this long, once per pause.
TIMEOUT_S: Final = 0.1
PAUSE_AFTER_FAILURE_S: Final = 5.0
COMMANDS_AT_ONCE: Final = 16
# One command raises all counters of an attempt. It returns each count, and the seconds until the count ends.
COUNT: Final = """
local answers = {}
for _, key in ipairs(KEYS) do
    answers[#answers + 1] = redis.call("INCR", key)
    if redis.call("TTL", key) < 0 then redis.call("EXPIRE", key, ARGV[1]) end
    answers[#answers + 1] = redis.call("TTL", key)
end
return answers
"""

log = structlog.get_logger()


class Attempt(StrEnum):
    """A limited action, as endpoints declare it."""

    SIGN_IN = "sign_in"
    TOKEN_CREATION = "token_creation"  # noqa: S105 - an action's name
    PUBLISH = "publish"
    WEBHOOK = "webhook"


class _Counted(NamedTuple):
    """The state of a counter: attempts in this minute, and the seconds that are left of it."""

    attempts: int
    left_s: int


class RateLimits:
    """Counts attempts over all processes. A sender's minute begins with its first attempt."""

    def __init__(self, settings: Settings) -> None:
        self._redis = open_redis(settings, TIMEOUT_S)
        self._count_all = self._redis.register_script(COUNT)
        self._prefix = f"{settings.redis_namespace}:attempts"
        self._proxies = settings.trusted_proxies
        self._allowed = {
            Attempt.SIGN_IN: settings.sign_in_attempts_per_minute,
            Attempt.TOKEN_CREATION: settings.token_creation_attempts_per_minute,
            Attempt.PUBLISH: settings.publish_attempts_per_minute,
            Attempt.WEBHOOK: settings.webhook_attempts_per_minute,
        }
        # Without the semaphore, a burst of requests would open as many connections.
        self._gate = asyncio.Semaphore(COMMANDS_AT_ONCE)
        self._pause = Pause(PAUSE_AFTER_FAILURE_S)

    async def require(self, attempt: Attempt, request: Request) -> None:
        """Count an attempt. Raises RateLimited above the limit, and AuthInvalid as bearer_token does.

        Runs before authentication, so that wrong credentials count too and cost no database query.
        """
        allowed = self._allowed[attempt]
        if not allowed:
            return
        keys = [f"{self._prefix}:{attempt}:{sender}" for sender in self._senders(request)]
        exceeded = [counted for counted in await self._count(keys) if counted.attempts > allowed]
        if any(counted.attempts == allowed + 1 for counted in exceeded):  # only the first, or the log floods
            log.warning("rate_limited", attempt=attempt, allowed_per_minute=allowed)
        if exceeded:
            raise RateLimited(retry_after_s=max(counted.left_s for counted in exceeded))

    def _senders(self, request: Request) -> list[str]:
        """The senders that the request counts for: its address and, if it has one, its credential."""
        senders = [f"address:{client_address(request, self._proxies)}"]
        secret = bearer_token(request) or next(iter(cookie_values(request, SESSION_COOKIE)), None)
        return senders if secret is None else [*senders, f"credential:{secret_hash(secret)}"]

    async def _count(self, keys: list[str]) -> list[_Counted]:
        """Raise the counters by one and return their states; an empty list while Redis is unavailable."""
        async with self._gate:
            if self._pause.is_on:
                return []
            try:
                answers = await self._count_all(keys, [WINDOW_S])
                return [_Counted(*pair) for pair in zip(answers[::2], answers[1::2], strict=True)]
            except REDIS_FAILURES as error:
                self._pause.begin()
                log.warning("rate_limits_off", error=type(error).__name__)
                return []

    async def close(self) -> None:
        """Close every connection."""
        await self._redis.aclose(close_connection_pool=True)
