"""What a worker asks of S3 for a publication, and that no package waits for the requests of another."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from functools import partial
from typing import Any
from uuid import uuid4

import pytest_asyncio

from shared.names import PackageName
from tests.archives import hello_archive
from tests.conftest import MakeSettings
from tests.s3_proxy import Pass, S3Proxy, Sent
from tests.seaweedfs import SeaweedFs
from tests.stack import Registry, running_registry
from worker.process import open_parts
from worker.schedule import Schedule

SLOW, QUICK = PackageName("slow"), PackageName("quick")


@pytest_asyncio.fixture
async def proxy(seaweedfs: SeaweedFs) -> AsyncIterator[S3Proxy]:
    """A proxy in front of S3."""
    async with S3Proxy(seaweedfs.endpoint).running() as running:
        yield running


@pytest_asyncio.fixture
async def registry(
    make_default_settings: MakeSettings, seaweedfs: SeaweedFs, proxy: S3Proxy
) -> AsyncIterator[Registry]:
    """A registry over a bucket behind the proxy, without a worker."""
    values: dict[str, Any] = {
        **seaweedfs.settings,
        "storage": "s3",
        "s3_prefix": f"requests-{uuid4().hex}/",
        "s3_endpoint": proxy.endpoint,
        "publish_wait_seconds": 0,
    }
    async with running_registry(await make_default_settings(**values), with_worker=False) as running:
        yield running


async def test_a_package_does_not_wait_for_the_requests_of_another(
    registry: Registry, proxy: S3Proxy
) -> None:
    """Its batch begins, and ends, while another batch waits for S3."""
    headers = await registry.add_publisher()
    for name in (SLOW, QUICK):
        await registry.publish(hello_archive(name=name), headers)
    async with open_parts(registry.settings) as parts:
        schedule = Schedule(parts)
        held = proxy.hold_next(lambda sent: sent.method == "PUT" and f"/dl/{SLOW}/" in sent.path)
        slow = asyncio.create_task(schedule.publish(SLOW))
        await held.is_there.wait()
        assert await schedule.publish(QUICK) == 1
        assert not slow.done()
        await held.let_go()
        assert await slow == 1
        await schedule.close()


async def test_a_publication_looks_only_at_what_it_replaces(registry: Registry, proxy: S3Proxy) -> None:
    """Nothing of a new package is there; of a later version, the index file and the page are."""
    headers = await registry.add_publisher()
    async with open_parts(registry.settings) as parts:
        schedule = Schedule(parts)
        for version, looks in (("0.1.0", 0), ("0.2.0", 4)):
            await registry.publish(hello_archive(name=QUICK, version=version), headers)
            sent: list[Sent] = []
            proxy.choose = partial(_noted, sent)
            await schedule.publish(QUICK)
            methods = [request.method for request in sent if QUICK in request.path]
            assert sorted(methods) == ["HEAD"] * looks + ["PUT"] * 4
        await schedule.close()


def _noted(into: list[Sent], sent: Sent) -> Pass:
    into.append(sent)
    return Pass()
