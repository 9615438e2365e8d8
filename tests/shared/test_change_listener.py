"""Readers' answers to change messages."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
from redis.asyncio import Redis

from api.write.visibility import VISIBLE_HEADER
from shared.messages import Change, Dropped, change_channel, dropped_channel
from tests.archives import hello_archive
from tests.stack import Registry


async def test_a_reader_answers_over_redis_only_if_another_process_hears_answers(
    fs_registry: Registry,
) -> None:
    """The writer in its own process gets the answer without a message."""
    registry, settings = fs_registry, fs_registry.settings
    publisher = await registry.add_publisher()
    async with (
        Redis.from_url(settings.redis_url.get_secret_value()) as redis,
        redis.pubsub() as everything,
        redis.pubsub() as other_writer,
    ):
        await everything.psubscribe(f"{settings.redis_namespace}:*")  # which counts as no writer
        assert (await registry.publish(hello_archive(), publisher)).headers[VISIBLE_HEADER] == "true"
        await other_writer.subscribe(dropped_channel(settings))
        await other_writer.get_message(timeout=30)
        answer = await registry.publish(hello_archive(version="0.2.0"), publisher)
        assert answer.headers[VISIBLE_HEADER] == "true"
        writers, first_answered = await _until_answer(everything, registry)
    assert 1 in writers.values()
    assert writers[first_answered] == 2


async def _until_answer(everything: Any, registry: Registry) -> tuple[dict[str, int], str]:
    """The counts of writers in change messages, by id, and the change of the first answer."""
    changed, dropped = (of(registry.settings).encode() for of in (change_channel, dropped_channel))
    writers: dict[str, int] = {}
    async with asyncio.timeout(30):
        while True:
            message = await everything.get_message(timeout=30, ignore_subscribe_messages=True)
            if message is not None and message["channel"] == changed:
                change = msgspec.json.decode(message["data"], type=Change)
                writers[change.id] = change.writers
            elif message is not None and message["channel"] == dropped:
                return writers, msgspec.json.decode(message["data"], type=Dropped).change
