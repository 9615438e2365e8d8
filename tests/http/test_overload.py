"""More publishes than a process accepts at once: some succeed, the others are told when to retry."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest_asyncio
from prometheus_client import REGISTRY

from api.write.upload_throttle import REFUSAL_BYTES
from tests.archives import hello_archive
from tests.conftest import MakeSettings
from tests.stack import Registry, eventually, running_registry

PLACES = 4


@pytest_asyncio.fixture
async def small_registry(make_default_settings: MakeSettings) -> AsyncIterator[Registry]:
    """A registry whose write process accepts few publishes at once."""
    settings = await make_default_settings(
        publishes_at_once=PLACES,
        max_archive_bytes=2 * REFUSAL_BYTES,
        publish_bytes_per_second=REFUSAL_BYTES // 3,
    )
    async with running_registry(settings) as running:
        yield running


async def test_publishes_past_the_bound_are_refused_and_those_within_it_all_succeed(
    small_registry: Registry,
) -> None:
    """With endless queues, everybody would wait until nobody is served."""
    publishers = [await small_registry.add_publisher(f"user-{number}") for number in range(4)]
    posts = [(hello_archive(name=f"p-{number}"), publishers[number % 4]) for number in range(8 * PLACES)]
    answers = await asyncio.gather(*(small_registry.publish(*post) for post in posts))
    counted = Counter(answer.status_code for answer in answers)
    assert set(counted) == {200, 503}
    assert counted[200] >= PLACES
    for answer in answers:
        if answer.status_code == 503:
            assert answer.headers["retry-after"] == "2"
            assert answer.json()["code"] == "X07REG_UNAVAILABLE"
    stored = {row.name for row in await small_registry.rows("SELECT name FROM packages")}
    assert stored == {answer.json()["name"] for answer in answers if answer.status_code == 200}
    again = await small_registry.publish(*posts[-1])
    assert again.status_code in (200, 409)


def refused() -> float:
    """The number of publishes for which this process had no place."""
    return REGISTRY.get_sample_value("x07_publishes_refused_total") or 0.0


@asynccontextmanager
async def slow_uploads(
    registry: Registry, *publishers: dict[str, str], are_held: int
) -> AsyncIterator[list[asyncio.Task[httpx.Response]]]:
    """As many uploads by each publisher as there are places. are_held: how many of them get one."""
    go_on = asyncio.Event()
    archive, before = hello_archive(name="slow"), refused()

    async def body() -> AsyncIterator[bytes]:
        yield archive[:512]
        await go_on.wait()
        yield archive[512:]

    async def are_taken() -> bool:
        return refused() - before == PLACES * len(publishers) - are_held

    async with httpx.AsyncClient(base_url=registry.url, timeout=60) as http:
        posts = [
            asyncio.create_task(http.post("/v1/packages/publish", content=body(), headers=publisher))
            for publisher in publishers
            for _ in range(PLACES)
        ]
        await eventually(are_taken)
        yield posts
        go_on.set()
        await asyncio.gather(*posts)


async def test_slow_uploads_of_one_publisher_leave_places_for_the_others(small_registry: Registry) -> None:
    """A place is held from the first byte, so one publisher must not be able to hold all."""
    slow, other = await small_registry.add_publisher("slow"), await small_registry.add_publisher("other")
    async with slow_uploads(small_registry, slow, are_held=PLACES // 2) as posts:
        assert (await small_registry.publish(hello_archive(name="other"), other)).status_code == 200
    statuses = sorted(post.result().status_code for post in posts)
    assert statuses == [200] + [409] * (PLACES // 2 - 1) + [503] * (PLACES // 2)


async def test_when_every_place_is_taken_nobody_is_looked_up(small_registry: Registry) -> None:
    """Waiting for the database would delay the refusal and the publishes that hold a place."""
    publishers = [await small_registry.add_publisher(name) for name in ("slow", "slower", "slowest")]
    async with slow_uploads(small_registry, *publishers, are_held=PLACES):
        unknown = {"authorization": "Bearer x07t_unknown"}
        assert (await small_registry.publish(hello_archive(), unknown)).status_code == 503
    assert (await small_registry.publish(hello_archive(), unknown)).status_code == 401


async def test_a_publisher_who_is_refused_again_and_again_is_slowed_and_nobody_else(
    small_registry: Registry,
) -> None:
    """Each refusal costs an upload and a check; unthrottled, one publisher could occupy the process."""
    bad, good = await small_registry.add_publisher("bad"), await small_registry.add_publisher("good")
    allowance = small_registry.settings.max_archive_bytes // REFUSAL_BYTES
    for _ in range(allowance + 1):
        assert (await small_registry.publish(b"junk", bad)).status_code == 400
    refused = asyncio.create_task(small_registry.publish(b"junk", bad))
    assert (await small_registry.publish(hello_archive(name="good"), good)).status_code == 200
    assert not refused.done()
    assert (await refused).status_code == 400
