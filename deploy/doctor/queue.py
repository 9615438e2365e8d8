"""Checks that Redis or Valkey answers, stores a key, returns it, and carries a message."""

from __future__ import annotations

import secrets
from typing import Final

from deploy.doctor.finding import Finding, failed, ok
from shared.messages import SOCKET_TIMEOUT_S
from shared.redis_client import open_redis, require_primary
from shared.settings import Settings

CHECK: Final = "redis"
MEND: Final = "start Redis or Valkey, or correct X07_REGISTRY_REDIS_URL; until then readers see changes later"
PROBE_LIFE_S: Final = 60


async def examine_queue(settings: Settings) -> list[Finding]:
    """One finding. No reader or worker uses the probe's key and channel."""
    probe = f"{settings.redis_namespace}:doctor:{secrets.token_hex(8)}"
    async with open_redis(settings, SOCKET_TIMEOUT_S) as redis:
        await require_primary(redis)
        await redis.set(probe, b"probe", ex=PROBE_LIFE_S)
        kept = await redis.get(probe)
        await redis.delete(probe)
        await redis.publish(probe, b"probe")
    if kept != b"probe":
        return [failed(CHECK, "it lost a key that was just set", "check its memory limit and policy")]
    return [ok(CHECK, "stores keys and carries messages")]
