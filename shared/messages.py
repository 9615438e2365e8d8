"""Messages between the parts, over Redis or Valkey.

Every message may be lost, repeated or late, because generations decide what there is to do
(docs/architecture.md). A change message makes readers fresh sooner than their time to live does. jobs.py
queues what workers do.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final
from uuid import uuid4

import msgspec
import structlog
from redis.exceptions import ResponseError

from shared.batching import COMPANY_WAIT_S, Batcher
from shared.redis_client import REDIS_FAILURES, Pause, open_redis, require_primary
from shared.settings import Settings
from shared.tracing import Carrier, carrier

SOCKET_TIMEOUT_S = 1.0
PAUSE_AFTER_FAILURE_S = 1.0
PACKAGES_PER_JOB = 100
# One step, so that the named readers and the counted writers are exactly those that get the message, which is
# a JSON object.
ANNOUNCE: Final = """
local readers = {}
for place, name in ipairs(redis.call('PUBSUB', 'CHANNELS')) do
    if string.sub(name, 1, #ARGV[2]) == ARGV[2] then
        readers[#readers + 1] = cjson.encode(string.sub(name, #ARGV[2] + 1))
    end
end
local writers = redis.call('PUBSUB', 'NUMSUB', ARGV[4])[2]
local named = '{"writers":' .. writers .. ',"readers":[' .. table.concat(readers, ',') .. '],'
    .. string.sub(ARGV[3], 2)
return redis.call('PUBLISH', ARGV[1], named)
"""

log = structlog.get_logger()


class Change(msgspec.Struct, frozen=True, omit_defaults=True):
    """What was just published. keys: of files that were put. generations: of index files, by package.

    id: of this message; empty if an older release sent it. readers: the names of the readers that receive it.
    writers: how many processes receive the readers' answers; 0 if it is not known. Redis adds both.
    """

    keys: tuple[str, ...]
    generations: dict[str, int] = {}
    id: str = ""
    readers: tuple[str, ...] = ()
    writers: int = 0


class Dropped(msgspec.Struct, frozen=True):
    """A reader has dropped its cached copies of a change. change: the id of the message."""

    reader: str
    change: str


def change_channel(settings: Settings) -> str:
    """The pub/sub channel of this registry."""
    return f"{settings.redis_namespace}:changed"


def dropped_channel(settings: Settings) -> str:
    """The pub/sub channel of readers' answers."""
    return f"{settings.redis_namespace}:dropped"


def reader_channel(settings: Settings, reader: str) -> str:
    """A channel without messages. A reader that subscribes to it shows that it receives change messages."""
    return f"{settings.redis_namespace}:readers:{reader}"


class Notifier:
    """Queues jobs and sends change messages. It never fails, because the sweep makes up for lost ones.

    After a failure it sends nothing for a second, so that a Redis that hangs does not slow every publish. A
    Redis that refuses a command, because its memory is full, answers at once and still passes messages on.
    """

    def __init__(self, settings: Settings) -> None:
        # Readers import this module and queue nothing: arq would take 7 MiB of them.
        from shared.jobs import JobQueue

        # Any: redis-py's types do not say that a command's answer is awaited.
        self._redis: Any = open_redis(settings, SOCKET_TIMEOUT_S)
        self._jobs = JobQueue(settings, self._redis)
        self._has_private_reads = settings.has_private_reads
        self._purges = settings.purges
        self._channels = (change_channel(settings), reader_channel(settings, ""), dropped_channel(settings))
        self._announce = self._redis.register_script(ANNOUNCE)
        self._pause = Pause(PAUSE_AFTER_FAILURE_S)
        self._wakes: Batcher[tuple[str, Carrier | None], None] = Batcher(
            self._wake, largest=PACKAGES_PER_JOB, linger_s=COMPANY_WAIT_S
        )

    async def wake_worker(self, package: str) -> None:
        """Have a package published soon. Packages asked for at the same time share a job."""
        await self._wakes.submit((package, carrier()))

    async def _wake(self, wanted: list[tuple[str, Carrier | None]]) -> Sequence[None]:
        names = list({package: None for package, _ in wanted})
        traces = {package: dict(trace) for package, trace in wanted if trace is not None}
        await self._send(lambda: self._jobs.publish_packages(names, traces))
        return [None] * len(wanted)

    async def queue_catalog(self, defer_s: float) -> bool:
        """Have the catalog built after this time, unless a build waits already. False if Redis is away."""
        return await self._send(lambda: self._jobs.publish_catalog(defer_s))

    async def ask_witnesses(self) -> None:
        """Have the witnesses of the log asked to cosign its newest checkpoint."""
        await self._send(self._jobs.ask_witnesses)

    async def queue_access(self) -> None:
        """Have the list of tokens that may read published soon, if anything is private."""
        if self._has_private_reads:
            await self._send(self._jobs.publish_access)

    async def deliver_webhooks(self, defer_s: float = 0.0) -> None:
        """Have what is due after this time sent to webhooks."""
        await self._send(lambda: self._jobs.deliver_webhooks(defer_s))

    async def purge_edge(self, defer_s: float = 0.0) -> None:
        """Have the edge asked to drop what is due after this time."""
        await self._send(lambda: self._jobs.purge_edge(defer_s))

    async def announce(self, change: Change) -> None:
        """Tell readers and waiting publishers what was published, and publishers which readers hear it.

        Then have the edge asked to drop it, if there is one: its next copy comes from readers that know.
        """
        message = msgspec.json.encode(msgspec.structs.replace(change, id=uuid4().hex))
        changed, readers, dropped = self._channels
        await self._send(lambda: self._announce(args=[changed, readers, message, dropped]))
        if self._purges:
            await self.purge_edge()

    async def _send(self, command: Callable[[], Any]) -> bool:
        """Send a command; False if Redis is away, or was within the last second."""
        if self._pause.is_on:
            return False
        try:
            await command()
        except REDIS_FAILURES as error:
            if not isinstance(error, ResponseError):
                self._pause.begin()
            log.warning("redis_unavailable", error=type(error).__name__)
            return False
        return True

    async def queue_depth(self) -> int:
        """The number of jobs that wait or run. Raises RedisError, OSError or TimeoutError."""
        return await self._jobs.depth()

    async def check(self) -> None:
        """Raise RedisError or OSError unless Redis answers and takes writes (for readiness)."""
        await require_primary(self._redis)

    async def close(self) -> None:
        """Close every connection."""
        await self._redis.aclose(close_connection_pool=True)
