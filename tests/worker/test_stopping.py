"""A worker stops when asked to, whatever it is doing."""

from __future__ import annotations

import asyncio

from shared.change_listener import ChangeListener
from shared.settings import Settings
from tests.stack import Registry
from worker.process import open_parts
from worker.queue import work_on_jobs
from worker.schedule import Schedule

# More turns of the event loop than connecting to Redis and sending the first commands take.
TURNS = 32
# Much longer than a worker without jobs takes.
STOPS_WITHIN_S = 60.0


async def _cancel_after(turns: int, task: asyncio.Task[None]) -> asyncio.Task[None]:
    for _ in range(turns):
        await asyncio.sleep(0)
    task.cancel()
    return task


async def test_a_worker_stops_at_every_step_of_its_first_look_for_jobs(fs_registry: Registry) -> None:
    """redis-py swallows a cancellation that arrives shortly before a command."""
    async with open_parts(fs_registry.settings) as parts:
        schedule = Schedule(parts)
        waiting = (asyncio.create_task(work_on_jobs(fs_registry.settings, schedule)) for _ in range(TURNS))
        tasks = [await _cancel_after(turns, task) for turns, task in enumerate(waiting)]
        done, _ = await asyncio.wait(tasks, timeout=STOPS_WITHIN_S)
    assert [turns for turns, task in enumerate(tasks) if task not in done] == []


async def test_a_listener_stops_at_every_step_of_its_subscription(fs_registry: Registry) -> None:
    """A listener stops like a worker."""
    tasks = [
        await _cancel_after(turns, asyncio.create_task(_listener(fs_registry.settings).run()))
        for turns in range(TURNS)
    ]
    done, _ = await asyncio.wait(tasks, timeout=STOPS_WITHIN_S)
    assert [turns for turns, task in enumerate(tasks) if task not in done] == []


def _listener(settings: Settings) -> ChangeListener:
    return ChangeListener(settings, lambda change: None, lambda: None)
