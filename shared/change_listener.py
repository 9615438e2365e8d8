"""Receives change messages, and reconnects after any loss of the connection (shared/messages.py).

A reader answers each message when it has dropped its cached copies; writers receive these answers.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any
from uuid import uuid4

import msgspec
import structlog
from redis.asyncio import Redis
from redis.asyncio.client import PubSub

from shared.concurrency import raise_if_cancelled
from shared.messages import (
    SOCKET_TIMEOUT_S,
    Change,
    Dropped,
    change_channel,
    dropped_channel,
    reader_channel,
)
from shared.redis_client import REDIS_FAILURES, open_redis, require_primary
from shared.settings import Settings

RECONNECT_S = 0.5
# After this long without a message, a listener pings to check the connection.
SILENCE_S = 5.0

log = structlog.get_logger()


class ChangeListener:
    """Receives change messages while it runs, and reconnects after any loss of the connection.

    on_change: called for each message. on_gap: called whenever messages may have been missed, which is at the
    start of each subscription. is_hearing: False while there is no subscription.
    """

    def __init__(
        self, settings: Settings, on_change: Callable[[Change], None], on_gap: Callable[[], None]
    ) -> None:
        self._settings = settings
        self._on_change = on_change
        self._on_gap = on_gap
        self._last_error: str | None = None
        self.is_hearing = False

    async def run(self) -> None:
        """Listen until cancelled."""
        while True:
            try:
                await self._listen()
            except REDIS_FAILURES as error:
                self._tell(type(error).__name__)
            except Exception:
                log.exception("change_listener_crashed")  # keep listening after a pause
            finally:
                self.is_hearing = False
            await asyncio.sleep(RECONNECT_S)

    def _tell(self, error: str) -> None:
        """Log that no messages arrive, once for each cause, because a mirror has no Redis at all."""
        if error != self._last_error:
            log.info("change_listener_disconnected", error=error)
        self._last_error = error

    def _channels(self) -> Sequence[str]:
        """The channels to subscribe to in one step."""
        return [change_channel(self._settings)]

    async def _hear(self, redis: Redis, channel: str, data: bytes) -> None:
        """Handle a message. Raises MsgspecError if it cannot be decoded."""
        self._on_change(msgspec.json.decode(data, type=Change))

    async def _listen(self) -> None:
        async with (
            open_redis(self._settings, SOCKET_TIMEOUT_S) as redis,
            redis.pubsub() as subscription,
        ):
            # Nothing else limits the wait for the server's answer.
            async with asyncio.timeout(SOCKET_TIMEOUT_S):
                # Who is subscribed at a replica is missing among those whose answer publishers await.
                await require_primary(redis)
                await subscription.subscribe(*self._channels())
            while True:
                raise_if_cancelled()
                message = await _next_message(subscription)
                if message["type"] == "subscribe":
                    self.is_hearing, self._last_error = True, None
                    self._on_gap()
                elif message["type"] == "message":
                    await self._deliver(redis, message["channel"].decode(), message["data"])

    async def _deliver(self, redis: Redis, channel: str, data: bytes) -> None:
        try:
            await self._hear(redis, channel, data)
        except msgspec.MsgspecError:
            log.warning("change_message_unreadable", size_bytes=len(data))


class ReaderListener(ChangeListener):
    """The listener of a reader. It shows that it receives messages, and answers each after on_change.

    on_answer: called with the answer before it is sent, for a writer in the same process; True if that writer
    receives messages too. If no other writer does, nothing is sent.
    """

    def __init__(
        self,
        settings: Settings,
        on_change: Callable[[Change], None],
        on_gap: Callable[[], None],
        on_answer: Callable[[Change, Dropped], bool] = lambda change, dropped: False,
    ) -> None:
        super().__init__(settings, on_change, on_gap)
        self._on_answer = on_answer
        self._name = ""

    def _channels(self) -> Sequence[str]:
        self._name = (
            uuid4().hex
        )  # new for each subscription, so that no writer waits for messages that an older one missed
        return [*super()._channels(), reader_channel(self._settings, self._name)]

    async def _hear(self, redis: Redis, channel: str, data: bytes) -> None:
        change = msgspec.json.decode(data, type=Change)
        self._on_change(change)
        if self._name in change.readers:
            dropped = Dropped(self._name, change.id)
            if self._on_answer(change, dropped) and change.writers == 1:
                return
            async with asyncio.timeout(SOCKET_TIMEOUT_S):
                await redis.publish(dropped_channel(self._settings), msgspec.json.encode(dropped))


class WriterListener(ChangeListener):
    """The listener of a writer. It also receives the answers of readers."""

    def __init__(
        self,
        settings: Settings,
        on_change: Callable[[Change], None],
        on_dropped: Callable[[Dropped], None],
    ) -> None:
        super().__init__(settings, on_change, on_gap=lambda: None)
        self._on_dropped = on_dropped

    def _channels(self) -> Sequence[str]:
        return [*super()._channels(), dropped_channel(self._settings)]

    async def _hear(self, redis: Redis, channel: str, data: bytes) -> None:
        if channel == dropped_channel(self._settings):
            self._on_dropped(msgspec.json.decode(data, type=Dropped))
        else:
            await super()._hear(redis, channel, data)


async def _next_message(subscription: PubSub) -> dict[str, Any]:
    """The next message. Raises TimeoutError if the server no longer answers a ping.

    Without the ping, a connection whose other end has vanished would be kept forever.
    """
    message = await subscription.get_message(timeout=SILENCE_S)
    if message is None:
        await subscription.ping()
        message = await subscription.get_message(timeout=SOCKET_TIMEOUT_S)
    if message is None:
        raise TimeoutError("Redis does not answer")
    answer: dict[str, Any] = message
    return answer
