"""Jobs in arq's queue: retries, builds of the catalog, periodic work, and arq's own command."""

from __future__ import annotations

import asyncio
import signal
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from arq import ArqRedis, Retry, func
from redis.asyncio import Redis

from deploy.local.own_services import variables_to
from shared.blobs import index_key
from shared.change_listener import SILENCE_S
from shared.errors import StorageUnavailable
from shared.jobs import catalog_count_key, open_queue, queue_name
from shared.messages import Notifier
from shared.names import PackageName
from shared.settings import Settings
from shared.storage.interface import Storage
from tests.archives import hello_archive
from tests.conftest import MakeSettings
from tests.deploy.processes import environment
from tests.stack import Registry, eventually, running_registry
from worker.jobs import FUNCTIONS, LONGEST_RETRY_S, cron_jobs, publish_packages
from worker.process import open_parts
from worker.schedule import Schedule
from worker.woken_worker import POLL_S, WokenWorker

ARQ = Path(sys.executable).with_name("arq")
# Of the script that finds nothing.
COMMANDS_OF_A_LOOK = 2


class AwayStorage:
    """A store that neither a look nor a copy reaches."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage

    def __getattr__(self, name: str) -> Any:
        return getattr(self._storage, name)

    async def head(self, key: str) -> None:
        raise StorageUnavailable

    async def copy(self, source: str, target: str, *, only_if_absent: bool) -> None:
        raise StorageUnavailable


async def test_a_job_is_tried_again_with_growing_pauses_while_storage_is_away(
    workerless_registry: Registry,
) -> None:
    """And then publishes. What a retry cannot mend, such as an unknown name, is not tried again."""
    registry = workerless_registry
    await registry.publish(hello_archive(), await registry.add_publisher())
    async with open_parts(registry.settings) as parts:
        away = Schedule(replace(parts, storage=AwayStorage(parts.storage)))
        pauses = []
        for job_try in (1, 2, 3, 8):
            with pytest.raises(Retry) as retry:
                await publish_packages({"schedule": away, "job_id": "a", "job_try": job_try}, ["hello"], {})
            pauses.append((retry.value.defer_score or 0) / 1000)
        assert pauses == [0.5, 1.0, 2.0, LONGEST_RETRY_S]
        here = {"schedule": Schedule(parts), "job_id": "a", "job_try": 1}
        await publish_packages(here, ["hello", "nobody"], {})
    assert await registry.keys("index/") == [index_key(PackageName("hello"))]


async def test_one_build_of_the_catalog_waits_and_a_running_one_swallows_none(
    make_default_settings: MakeSettings,
) -> None:
    """A change that comes while a build runs needs another build."""
    settings = await make_default_settings()
    notifier, queue = Notifier(settings), queue_name(settings)
    async with Redis.from_url(settings.redis_url.get_secret_value()) as redis:
        for _ in range(3):
            assert await notifier.queue_catalog(60.0)
        assert await redis.zcard(queue) == 1
        await redis.incr(catalog_count_key(settings))  # as a build does when it begins
        assert await notifier.queue_catalog(60.0)
        assert await redis.zcard(queue) == 2
    await notifier.close()


async def test_a_first_try_that_fails_is_tried_again_by_arq(make_default_settings: MakeSettings) -> None:
    """The worker runs first tries itself; arq counts the others, and nothing of the job is left."""
    settings = await make_default_settings()
    tries: list[tuple[int, str]] = []

    async def fail_twice(ctx: dict[str, Any], word: str) -> None:
        tries.append((ctx["job_try"], word))
        if len(tries) < 3:
            raise Retry(defer=0.01)

    redis = open_queue(settings, 5.0)
    worker = WokenWorker(settings, redis, [func(fail_twice, name="fail_twice")], [], {})
    running = asyncio.create_task(worker.main())
    job = await redis.enqueue_job("fail_twice", "hello")
    assert job is not None

    async def is_over() -> bool:
        left = [key async for key in redis.scan_iter(f"*{job.job_id}*")]
        return len(tries) == 3 and not left and await redis.zcard(queue_name(settings)) == 0

    await eventually(is_over)
    assert tries == [(1, "hello"), (2, "hello"), (3, "hello")]
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    await redis.aclose(close_connection_pool=True)


def test_registries_that_share_a_redis_have_periodic_jobs_of_their_own() -> None:
    """arq makes a periodic job's id of its name and its time."""
    one, other = Settings(), Settings(redis_namespace="other")
    names = [job.name for settings in (one, other) for job in cron_jobs(settings)]
    assert len(set(names)) == len(names)


async def test_arqs_own_command_runs_the_same_worker_and_tells_its_health(
    make_default_settings: MakeSettings,
) -> None:
    """It publishes, keeps the health record that --check reads, and ends when told to."""
    settings = await make_default_settings()
    variables = environment(**variables_to(settings), X07_REGISTRY_REDIS_NAMESPACE=settings.redis_namespace)
    async with running_registry(settings, with_worker=False) as registry:
        assert await _arq(variables, "--check") == 1
        worker = await asyncio.create_subprocess_exec(ARQ, "worker.process.WorkerSettings", env=variables)
        try:

            async def is_healthy() -> bool:
                return await _arq(variables, "--check") == 0

            await eventually(is_healthy)
            published = await registry.publish(hello_archive(), await registry.add_publisher())
            assert published.headers["x-x07-index-published"] == "true"
            worker.send_signal(signal.SIGTERM)
            assert await asyncio.wait_for(worker.wait(), 60) == 0
        finally:
            if worker.returncode is None:
                worker.kill()
                await worker.wait()


async def _arq(variables: dict[str, str], option: str) -> int:
    """The exit status of arq's command."""
    process = await asyncio.create_subprocess_exec(
        ARQ, "worker.process.WorkerSettings", option, env=variables, stderr=asyncio.subprocess.DEVNULL
    )
    return await process.wait()


async def test_an_idle_worker_sends_one_command_for_each_look(make_default_settings: MakeSettings) -> None:
    """And its listener sends one for each silence. Periodic jobs and the health record are rare."""
    settings = await make_default_settings()
    redis = open_queue(settings, 5.0)
    worker = WokenWorker(settings, redis, FUNCTIONS, cron_jobs(settings), {})
    for job in worker.cron_jobs or ():
        job.next_run = datetime.now(UTC) + timedelta(hours=1)
    await worker._poll_iteration()  # loads the script and records the health
    before = await _sent(redis)
    for _ in range(10):
        await worker._poll_iteration()
    assert await _sent(redis) - before == 10 * (1 + COMMANDS_OF_A_LOOK) + 2
    assert 1 / POLL_S + 1 / SILENCE_S < 3
    await redis.aclose(close_connection_pool=True)


async def _sent(redis: ArqRedis) -> int:
    """How many commands the one connection of a client has sent, with those of scripts; asking takes two."""
    number = await redis.client_id()
    return next(int(one["tot-cmds"]) for one in await redis.client_list() if one["id"] == str(number))


def test_witnesses_are_asked_periodically_if_there_are_any() -> None:
    """A periodic job costs some twenty commands."""
    without = Settings()
    for settings in (without, without.model_copy(update={"log_witnesses": ("one",)})):
        is_asking = any(job.name.endswith(":ask_witnesses") for job in cron_jobs(settings))
        assert is_asking == bool(settings.log_witnesses)
