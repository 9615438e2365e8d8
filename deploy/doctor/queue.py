"""Redis or Valkey: it answers, takes a key, gives it back, and carries a message."""

from __future__ import annotations

import secrets
from typing import Final

from redis.asyncio import Redis

from deploy.doctor.finding import Finding, failed, ok
from shared.jobs import SOCKET_TIMEOUT_S
from shared.settings import Settings

CHECK: Final = "redis"
MEND: Final = "start Redis or Valkey, or correct X07_REGISTRY_REDIS_URL; until then readers see changes later"
PROBE_LIFE_S: Final = 60


async def examine_queue(settings: Settings) -> list[Finding]:
    """One finding. The probe's key and channel are nobody's: no reader or worker hears of them."""
    probe = f"{settings.redis_namespace}:doctor:{secrets.token_hex(8)}"
    async with Redis.from_url(
        settings.redis_url.get_secret_value(),
        socket_timeout=SOCKET_TIMEOUT_S,
        socket_connect_timeout=SOCKET_TIMEOUT_S,
    ) as redis:
        await redis.set(probe, b"probe", ex=PROBE_LIFE_S)
        kept = await redis.get(probe)
        await redis.delete(probe)
        await redis.publish(probe, b"probe")
    if kept != b"probe":
        return [failed(CHECK, "a key that was just set is not there", "check its memory limit and policy")]
    return [ok(CHECK, "takes keys and messages")]
