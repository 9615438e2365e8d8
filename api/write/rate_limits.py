"""Limits attempts per minute, counted by address and by credential (attempt_counts.py).

The limits protect against floods from one sender, not against guessing: secrets have 256 random bits. When
Redis is unavailable, attempts are not counted and no request is refused for them.
"""

from __future__ import annotations

from enum import StrEnum

import structlog
from starlette.requests import Request

from api.write.attempt_counts import AttemptCounts
from api.write.client_address import client_address
from api.write.credentials import SESSION_COOKIE, bearer_token, cookie_values, secret_hash
from shared.errors import RateLimited
from shared.settings import Settings

log = structlog.get_logger()


class Attempt(StrEnum):
    """A limited action, as endpoints declare it."""

    SIGN_IN = "sign_in"
    TOKEN_CREATION = "token_creation"  # noqa: S105 - an action's name
    PUBLISH = "publish"
    WEBHOOK = "webhook"


class RateLimits:
    """Counts attempts over all processes. A sender's minute begins with its first attempt."""

    def __init__(self, settings: Settings) -> None:
        self._counts = AttemptCounts(settings)
        self._prefix = f"{settings.redis_namespace}:attempts"
        self._proxies = settings.trusted_proxies
        self._allowed = {
            Attempt.SIGN_IN: settings.sign_in_attempts_per_minute,
            Attempt.TOKEN_CREATION: settings.token_creation_attempts_per_minute,
            Attempt.PUBLISH: settings.publish_attempts_per_minute,
            Attempt.WEBHOOK: settings.webhook_attempts_per_minute,
        }

    async def require(self, attempt: Attempt, request: Request) -> None:
        """Count an attempt. Raises RateLimited above the limit, and AuthInvalid as bearer_token does.

        Runs before authentication, so that wrong credentials count too and cost no database query.
        """
        allowed = self._allowed[attempt]
        if not allowed:
            return
        keys = [f"{self._prefix}:{attempt}:{sender}" for sender in self._senders(request)]
        counts = await self._counts.raise_by_one(keys)
        exceeded = [counted for counted in counts if counted.attempts > allowed]
        if any(counted.attempts == allowed + 1 for counted in exceeded):  # only the first, or the log floods
            log.warning("rate_limited", attempt=attempt, allowed_per_minute=allowed)
        if exceeded:
            raise RateLimited(retry_after_s=max(counted.left_s for counted in exceeded))

    def _senders(self, request: Request) -> list[str]:
        """The senders that the request counts for: its address and, if it has one, its credential."""
        senders = [f"address:{client_address(request, self._proxies)}"]
        secret = bearer_token(request) or next(iter(cookie_values(request, SESSION_COOKIE)), None)
        return senders if secret is None else [*senders, f"credential:{secret_hash(secret)}"]

    async def close(self) -> None:
        """Close every connection."""
        await self._counts.close()
