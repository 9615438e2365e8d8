"""Jobs for workers: their names, their queue, and how they are queued. Workers run them with arq.

Keys and bodies are those of arq 0.26 and later, as JSON. A job may be lost, repeated or late, because
generations decide what there is to do (docs/architecture.md).
"""

from __future__ import annotations

import time
from typing import Any, Final
from uuid import uuid4

import msgspec
from arq.connections import ArqRedis
from arq.constants import job_key_prefix
from arq.jobs import serialize_job

from shared.redis_client import open_pool
from shared.settings import Settings

PUBLISH_PACKAGES: Final = "publish_packages"
PUBLISH_CATALOG: Final = "publish_catalog"
ASK_WITNESSES: Final = "ask_witnesses"
PUBLISH_ACCESS: Final = "publish_access"
DELIVER_WEBHOOKS: Final = "deliver_webhooks"
PURGE_EDGE: Final = "purge_edge"
# Most jobs kept; older ones are dropped, because the sweep covers them.
LONGEST_QUEUE: Final = 10_000
# By then, a sweep has done what the job is for. The queue of a worker that is away must not grow without end.
JOB_EXPIRES_S: Final = 60
# What arq's enqueue_job does for an id that was never used, in one step instead of three, and a message to
# workers that sleep. A job that is counted has the number in its id: while it waits, it is not queued again.
QUEUE_JOB: Final = """
local id = ARGV[1]
if KEYS[2] then
    id = id .. (redis.call('GET', KEYS[2]) or '0')
    if redis.call('EXISTS', ARGV[2] .. id) == 1 then return 0 end
end
redis.call('SET', ARGV[2] .. id, ARGV[3], 'PX', ARGV[4])
redis.call('ZADD', KEYS[1], ARGV[5], id)
if redis.call('ZCARD', KEYS[1]) > tonumber(ARGV[6]) then
    redis.call('ZREMRANGEBYRANK', KEYS[1], 0, -tonumber(ARGV[6]) - 1)
end
redis.call('PUBLISH', ARGV[7], '')
return 1
"""

# arq keeps an exception as a result; nobody reads it, but it has to be encoded.
encode_job: Final = msgspec.json.Encoder(enc_hook=repr).encode
decode_job: Final = msgspec.json.decode


def queue_name(settings: Settings) -> str:
    """The name of this registry's arq queue, which is a key in Redis."""
    return f"{settings.redis_namespace}:jobs"


def wake_channel(settings: Settings) -> str:
    """The pub/sub channel that tells workers of a job that was queued. Its messages are empty."""
    return f"{settings.redis_namespace}:wake"


def catalog_count_key(settings: Settings) -> str:
    """The key that counts the builds of the catalog that have begun."""
    return f"{settings.redis_namespace}:catalog_builds"


def open_queue(settings: Settings, timeout_s: float) -> ArqRedis:
    """A client of arq, which connects with the first command; JSON instead of pickle on the wire.

    timeout_s: how long a connection, and each answer, may take.
    """
    return ArqRedis(
        open_pool(settings, timeout_s),
        job_serializer=encode_job,
        job_deserializer=decode_job,
        default_queue_name=queue_name(settings),
    )


class JobQueue:
    """Queues jobs over a client. Methods raise RedisError, OSError or TimeoutError when Redis is away."""

    def __init__(self, settings: Settings, redis: Any) -> None:
        self._redis = redis
        self._keys = [queue_name(settings)]
        self._channel = wake_channel(settings)
        self._catalog = (f"{settings.redis_namespace}:{PUBLISH_CATALOG}:", catalog_count_key(settings))
        self._script = redis.register_script(QUEUE_JOB)

    async def publish_packages(self, names: list[str], traces: dict[str, dict[str, str]]) -> None:
        """Queue the publication of packages. Its id is never used again, so no job is taken for another."""
        await self._queue(self._keys, uuid4().hex, PUBLISH_PACKAGES, (names, traces), 0.0)

    async def publish_catalog(self, defer_s: float) -> None:
        """Queue a build of the catalog after this time, unless one waits already."""
        prefix, count_key = self._catalog
        await self._queue([*self._keys, count_key], prefix, PUBLISH_CATALOG, (), defer_s)

    async def ask_witnesses(self) -> None:
        """Queue a request for cosignatures of the newest checkpoint."""
        await self._queue(self._keys, uuid4().hex, ASK_WITNESSES, (), 0.0)

    async def publish_access(self) -> None:
        """Queue the publication of who may read."""
        await self._queue(self._keys, uuid4().hex, PUBLISH_ACCESS, (), 0.0)

    async def deliver_webhooks(self, defer_s: float) -> None:
        """Queue the delivery of what is due to webhooks after this time."""
        await self._queue(self._keys, uuid4().hex, DELIVER_WEBHOOKS, (), defer_s)

    async def purge_edge(self, defer_s: float) -> None:
        """Queue the purge of what is due after this time."""
        await self._queue(self._keys, uuid4().hex, PURGE_EDGE, (), defer_s)

    async def depth(self) -> int:
        """The number of jobs that wait or run."""
        return int(await self._redis.zcard(self._keys[0]))

    async def _queue(
        self, keys: list[str], id_or_prefix: str, function: str, arguments: tuple[Any, ...], defer_s: float
    ) -> None:
        now_ms = int(time.time() * 1000)
        body = serialize_job(function, arguments, {}, None, now_ms, serializer=encode_job)
        due_ms, expires_ms = now_ms + int(defer_s * 1000), int((JOB_EXPIRES_S + defer_s) * 1000)
        values = [id_or_prefix, job_key_prefix, body, expires_ms, due_ms, LONGEST_QUEUE, self._channel]
        await self._script(keys, values)
