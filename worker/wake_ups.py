"""Answering wake-ups. One may come twice, late or never: the schedule's sweep is what guarantees."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterable, Sequence
from typing import Final, cast

import msgspec
import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError, ResponseError

from shared.errors import InvalidName
from shared.jobs import SOCKET_TIMEOUT_S, WakeUp, queue_name
from shared.names import PackageName, parse_name
from shared.settings import Settings
from worker.schedule import Schedule, finished

# One waits for the disk or for a busy package while the other goes on.
TAKERS: Final = 2
WAKE_UPS_AT_ONCE: Final = 32
# How long a taker waits for a wake-up before it asks again, so that a connection that is dead is noticed.
PATIENCE_S: Final = 5
RECONNECT_S: Final = 1.0

log = structlog.get_logger()


async def answer_wake_ups(settings: Settings, schedule: Schedule) -> None:
    """Publish what wake-ups name, until cancelled; while Redis is away the schedule goes on alone."""
    async with asyncio.TaskGroup() as group:
        for _ in range(TAKERS):
            group.create_task(_answer(settings, schedule))


async def _answer(settings: Settings, schedule: Schedule) -> None:
    url, queue = settings.redis_url.get_secret_value(), queue_name(settings)
    while True:
        try:
            async with Redis.from_url(
                url, socket_timeout=PATIENCE_S + SOCKET_TIMEOUT_S, socket_connect_timeout=SOCKET_TIMEOUT_S
            ) as redis:
                while True:
                    await finished(_publish(schedule, await _take(redis, queue)))
        except (RedisError, OSError, TimeoutError) as error:
            log.warning("queue_unavailable", error=type(error).__name__)
        except Exception:
            log.exception("queue_crashed")  # the schedule, which guarantees, must not end with it
        await asyncio.sleep(RECONNECT_S)


async def _take(redis: Redis, queue: str) -> list[bytes]:
    """The next wake-ups, maybe none; when there are none, after a while."""
    # redis-py's types take each key for a list.
    popped = redis.blmpop(PATIENCE_S, 1, queue, direction="LEFT", count=WAKE_UPS_AT_ONCE)  # type: ignore[arg-type]
    try:
        found = await cast("Awaitable[tuple[bytes, list[bytes]] | None]", popped)
    except ResponseError as error:
        if not str(error).startswith("WRONGTYPE"):
            raise
        # No registry put there what is no list. What waited is only wake-ups; the sweep does their work.
        log.warning("queue_replaced", queue=queue)
        await redis.delete(queue)
        return []
    return [] if found is None else found[1]


async def _publish(schedule: Schedule, messages: Sequence[bytes]) -> None:
    """Publish what messages name, each package once."""
    wanted = {
        name: wake_up.traces.get(name) for wake_up in _readable(messages) for name in _names(wake_up.packages)
    }
    await asyncio.gather(*(schedule.try_publish(name, trace) for name, trace in wanted.items()))


def _readable(messages: Iterable[bytes]) -> Iterable[WakeUp]:
    for message in messages:
        try:
            yield msgspec.json.decode(message, type=WakeUp)
        except msgspec.MsgspecError:
            log.warning("wake_up_unreadable", size_bytes=len(message))


def _names(texts: Iterable[str]) -> Iterable[PackageName]:
    """Those that are names: whoever can write to Redis may have queued others."""
    for text in texts:
        try:
            yield parse_name(text)
        except InvalidName:
            log.warning("wake_up_unreadable", size_bytes=len(text))
