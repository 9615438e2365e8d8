"""The delay of the catalog under any number of changes."""

from __future__ import annotations

import asyncio
import itertools

import pytest

from tests.archives import hello_archive
from tests.stack import Registry
from worker.catalog_debounce import pause_after_build


@pytest.mark.parametrize(
    ("build_s", "follows_s"),
    [(0.0, 1.0), (0.01, 1.0), (0.1, 5.0), (0.4, 5.0), (0.5, 5.0), (1.0, 10.0), (1.4, 15.0), (3.0, 15.0)],
)
def test_the_catalog_follows_in_time_and_leaves_the_worker_to_publish(
    build_s: float, follows_s: float
) -> None:
    """A change that just missed a build waits for its end, the pause and the next build."""
    pause_s = pause_after_build(build_s, debounce_s=0.5)
    assert build_s + pause_s + build_s <= follows_s
    if build_s <= 1:
        assert build_s / (build_s + pause_s) <= 1 / 9


async def test_the_catalog_is_not_starved_by_a_steady_stream_of_publishes(fs_registry: Registry) -> None:
    """If each change restarted the wait, the catalog would never be built while publishers are active."""
    headers = await fs_registry.add_publisher()
    await fs_registry.publish(hello_archive(name="first"), headers)

    async def stream() -> None:
        for number in itertools.count():
            answer = await fs_registry.publish(hello_archive(name=f"later-{number}"), headers)
            assert answer.status_code == 200

    publishing = asyncio.create_task(stream())
    try:
        await fs_registry.until_in_catalog("first", "0.1.0")
        assert not publishing.done()
    finally:
        publishing.cancel()
        await asyncio.gather(publishing, return_exceptions=True)
