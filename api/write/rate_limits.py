"""Limits of attempts a minute, counted in Redis by address and by credential.

A guard against floods of one sender, not against guessing: secrets have 256 random bits. Redis may be
away at any time; then nothing is counted, and nobody is refused for it.
"""

from __future__ import annotations

import asyncio
import time
from enum import StrEnum
from typing import Final, NamedTuple

import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError
from starlette.requests import Request

from api.write.client_address import client_address
from api.write.credentials import SESSION_COOKIE, bearer_token, cookie_values, secret_hash
from shared.errors import RateLimited
from shared.settings import Settings

WINDOW_S: Final = 60
# A Redis that hangs costs a request this long, once in every pause.
TIMEOUT_S: Final = 0.1
PAUSE_AFTER_FAILURE_S: Final = 5.0
COMMANDS_AT_ONCE: Final = 16
# One command for all counters of an attempt: what each then says, and the seconds that it has left.
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
    """What is limited; an endpoint declares which it is."""

    SIGN_IN = "sign_in"
    TOKEN_CREATION = "token_creation"  # noqa: S105 - an action's name
    PUBLISH = "publish"


class _Counted(NamedTuple):
    """What a counter says: attempts in this minute, and the seconds that are left of it."""

    attempts: int
    left_s: int


class RateLimits:
    """Counts attempts over every process; a sender's minute begins with the first of them."""

    def __init__(self, settings: Settings) -> None:
        self._redis = Redis.from_url(
            settings.redis_url.get_secret_value(),
            socket_timeout=TIMEOUT_S,
            socket_connect_timeout=TIMEOUT_S,
        )
        self._count_all = self._redis.register_script(COUNT)
        self._prefix = f"{settings.redis_namespace}:attempts"
        self._proxies = settings.trusted_proxies
        self._allowed = {
            Attempt.SIGN_IN: settings.sign_in_attempts_per_minute,
            Attempt.TOKEN_CREATION: settings.token_creation_attempts_per_minute,
            Attempt.PUBLISH: settings.publish_attempts_per_minute,
        }
        # Without it a crowd of requests would open as many connections.
        self._gate = asyncio.Semaphore(COMMANDS_AT_ONCE)
        self._away_until = 0.0

    async def require(self, attempt: Attempt, request: Request) -> None:
        """Count an attempt. Raises RateLimited past the limit, AuthInvalid as bearer_token does.

        Before authentication, so that wrong credentials are counted too and cost no query.
        """
        allowed = self._allowed[attempt]
        if not allowed:
            return
        keys = [f"{self._prefix}:{attempt}:{sender}" for sender in self._senders(request)]
        exceeded = [counted for counted in await self._count(keys) if counted.attempts > allowed]
        if any(counted.attempts == allowed + 1 for counted in exceeded):  # not each, or the log floods
            log.warning("rate_limited", attempt=attempt, allowed_per_minute=allowed)
        if exceeded:
            raise RateLimited(retry_after_s=max(counted.left_s for counted in exceeded))

    def _senders(self, request: Request) -> list[str]:
        """Whom the request counts for: its address, and the credential it shows, if any."""
        senders = [f"address:{client_address(request, self._proxies)}"]
        secret = bearer_token(request) or next(iter(cookie_values(request, SESSION_COOKIE)), None)
        return senders if secret is None else [*senders, f"credential:{secret_hash(secret)}"]

    async def _count(self, keys: list[str]) -> list[_Counted]:
        """Raise the counters by one; what they then say, nothing while Redis is away."""
        async with self._gate:
            if time.monotonic() < self._away_until:
                return []
            try:
                answers = await self._count_all(keys, [WINDOW_S])
                return [_Counted(*pair) for pair in zip(answers[::2], answers[1::2], strict=True)]
            except (RedisError, OSError, TimeoutError) as error:
                self._away_until = time.monotonic() + PAUSE_AFTER_FAILURE_S
                log.warning("rate_limits_off", error=type(error).__name__)
                return []

    async def close(self) -> None:
        """Close every connection."""
        await self._redis.aclose(close_connection_pool=True)
