"""Messages between the parts, over Redis or Valkey.

Everything here may be lost, doubled or late (architecture: generations). What is queued is a
wake-up; what is announced lets readers be fresh sooner than their time-to-live.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import structlog
from redis.asyncio import Redis
from redis.asyncio.client import PubSub
from redis.exceptions import RedisError

from shared.batching import A_MOMENT_S, Batcher
from shared.settings import Settings
from shared.tracing import Carrier, carrier

SOCKET_TIMEOUT_S = 1.0
PAUSE_AFTER_FAILURE_S = 1.0
RECONNECT_S = 0.5
PACKAGES_A_WAKE_UP = 100
# Of wake-ups; the oldest go, which a sweep has done long ago: no worker has been there for so many publishes.
LONGEST_QUEUE = 10_000
# How long nothing may come before a listener asks whether the connection still stands.
SILENCE_S = 5.0

log = structlog.get_logger()


class WakeUp(msgspec.Struct, frozen=True):
    """Packages that are to be published soon. traces: of the changes behind it, by package."""

    packages: tuple[str, ...]
    traces: dict[str, dict[str, str]] = {}


class Change(msgspec.Struct, frozen=True):
    """What was just published. keys: storage keys put again. generations: of index files, by package."""

    keys: tuple[str, ...]
    generations: dict[str, int] = {}


def queue_name(settings: Settings) -> str:
    """The key of this registry's list of wake-ups: writers push at its end, workers take from its start."""
    return f"{settings.redis_namespace}:wake_ups"


def change_channel(settings: Settings) -> str:
    """The pub/sub channel of this registry."""
    return f"{settings.redis_namespace}:changed"


class Notifier:
    """Sends wake-ups and change messages, and never fails: the sweep makes up for a lost one.

    After a failure it stays silent for a second, so that a Redis that hangs does not slow every publish.
    """

    def __init__(self, settings: Settings) -> None:
        self._redis = Redis.from_url(
            settings.redis_url.get_secret_value(),
            socket_timeout=SOCKET_TIMEOUT_S,
            socket_connect_timeout=SOCKET_TIMEOUT_S,
        )
        self._queue = queue_name(settings)
        self._channel = change_channel(settings)
        self._silent_until = 0.0
        self._wakes: Batcher[tuple[str, Carrier | None], None] = Batcher(
            self._wake, largest=PACKAGES_A_WAKE_UP, linger_s=A_MOMENT_S
        )

    async def wake_worker(self, package: str) -> None:
        """Have a package published soon: one wake-up for all that are asked for at the same time."""
        await self._wakes.submit((package, carrier()))

    async def _wake(self, wanted: list[tuple[str, Carrier | None]]) -> Sequence[None]:
        traces = {package: dict(trace) for package, trace in wanted if trace is not None}
        message = msgspec.json.encode(WakeUp(tuple({package: None for package, _ in wanted}), traces))
        await self._send(lambda: self._queued(message))
        return [None] * len(wanted)

    async def _queued(self, message: bytes) -> None:
        if await self._redis.rpush(self._queue, message) > LONGEST_QUEUE:
            await self._redis.ltrim(self._queue, -LONGEST_QUEUE, -1)

    async def announce(self, change: Change) -> None:
        """Tell readers and waiting publishers what was published."""
        message = msgspec.json.encode(change)
        await self._send(lambda: self._redis.publish(self._channel, message))

    async def _send(self, command: Callable[[], Any]) -> None:
        if time.monotonic() < self._silent_until:
            return
        try:
            await command()
        except (RedisError, OSError, TimeoutError) as error:
            self._silent_until = time.monotonic() + PAUSE_AFTER_FAILURE_S
            log.warning("redis_unavailable", error=type(error).__name__)

    async def queue_depth(self) -> int:
        """Wake-ups that wait. Raises RedisError, OSError or TimeoutError."""
        return int(await self._redis.llen(self._queue))

    async def check(self) -> None:
        """Raise RedisError or OSError unless Redis answers (for readiness)."""
        await self._redis.ping()

    async def close(self) -> None:
        """Close every connection."""
        await self._redis.aclose(close_connection_pool=True)


class ChangeListener:
    """Hears change messages for as long as it runs, through any loss of the connection.

    on_change: called for each message. on_gap: called whenever messages may have been missed,
    which is each time a subscription begins.
    """

    def __init__(
        self, settings: Settings, on_change: Callable[[Change], None], on_gap: Callable[[], None]
    ) -> None:
        self._url = settings.redis_url.get_secret_value()
        self._channel = change_channel(settings)
        self._on_change = on_change
        self._on_gap = on_gap

    async def run(self) -> None:
        """Listen until cancelled."""
        while True:
            try:
                await self._listen()
            except (RedisError, OSError, TimeoutError) as error:
                log.info("change_listener_disconnected", error=type(error).__name__)
            except Exception:
                log.exception("change_listener_crashed")  # deaf for a moment, but not for ever
            await asyncio.sleep(RECONNECT_S)

    async def _listen(self) -> None:
        async with (
            Redis.from_url(self._url, socket_connect_timeout=SOCKET_TIMEOUT_S) as redis,
            redis.pubsub() as subscription,
        ):
            async with asyncio.timeout(SOCKET_TIMEOUT_S):  # nothing else ends the wait for its greeting
                await subscription.subscribe(self._channel)
            while True:
                message = await _next_message(subscription)
                if message["type"] == "subscribe":
                    self._on_gap()
                elif message["type"] == "message":
                    self._deliver(message["data"])

    def _deliver(self, data: bytes) -> None:
        try:
            change = msgspec.json.decode(data, type=Change)
        except msgspec.MsgspecError:
            log.warning("change_message_unreadable", size_bytes=len(data))
            return
        self._on_change(change)


async def _next_message(subscription: PubSub) -> dict[str, Any]:
    """What comes next. Raises TimeoutError when not even a ping is answered any more.

    A connection whose other end is gone without a word would else be listened to for ever.
    """
    message = await subscription.get_message(timeout=SILENCE_S)
    if message is None:
        await subscription.ping()
        message = await subscription.get_message(timeout=SOCKET_TIMEOUT_S)
    if message is None:
        raise TimeoutError("Redis does not answer")
    answer: dict[str, Any] = message
    return answer
