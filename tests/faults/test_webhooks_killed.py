"""Workers and writers die while webhooks hear of changes: every change is told, in its package's order."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from typing import Any

import pytest_asyncio

from shared.webhooks import WebhookEvent
from tests.faults.cluster import Cluster
from tests.faults.conftest import MakeCluster
from tests.faults.depth import some
from tests.faults.promises import RECOVERY_DEADLINE_S, Promises
from tests.faults.tally import Tally
from tests.receiver import ALLOWED, Receiver, answering
from tests.stack import bearer, eventually, serving

ROW = "webhooks: worker or writer killed at each point, a receiver that fails"
POINTS = ("before_published_mark", "after_published_mark", "after_webhook_taken", "after_webhook_sent")
LEASES_END = "UPDATE webhook_deliveries SET due_at = now() WHERE done_at IS NULL RETURNING 1"


@pytest_asyncio.fixture
async def receiver() -> AsyncIterator[Receiver]:
    """A receiver that now and then fails."""
    receiver = Receiver()
    fails = random.Random(random.random())

    async def answer(request: Any) -> Any:
        return await answering(500 if fails.random() < 0.2 else 204)(request)

    receiver.answer = answer
    async with serving(receiver.app) as receiver.url:
        yield receiver


@pytest_asyncio.fixture
async def cluster(make_cluster: MakeCluster) -> Cluster:
    """A cluster without processes, whose webhooks may lead to loopback."""
    return await make_cluster(publish_wait_seconds=0, **ALLOWED)


async def test_no_event_is_lost_whoever_dies(
    cluster: Cluster, promises: Promises, receiver: Receiver, tally: Tally
) -> None:
    """Each acknowledged version is told at least once, and none before an earlier one of its package."""
    registry = cluster.registry
    (row,) = await registry.rows("SELECT id FROM users WHERE handle = 'alice'")
    owner = bearer(await registry.add_token(row.id, "publish", "owner.manage"))
    writer = await cluster.start("write")
    body = {"url": receiver.url, "events": [str(WebhookEvent.VERSION_PUBLISHED)]}
    assert (await writer.http.post("/v1/webhooks", json=body, headers=owner)).status_code == 200
    minor = 0
    for point in some(POINTS, 3):
        minor += 1
        await promises.publish(writer.http, "hello", f"0.{minor}.0")
        await cluster.strike(point)
        tally.faults += 1
        await registry.rows(LEASES_END)  # instead of waiting for half a minute
    dying = await cluster.start("write", test_stop_at="after_commit")
    await promises.publish(dying.http, "hello", "1.0.0")
    assert await dying.died() == "SIGKILL"
    tally.faults += 1
    promises.healed()
    await cluster.start("worker")
    committed = [version for (version,) in await registry.rows("SELECT version FROM package_versions")]

    async def has_everything() -> bool:
        return not await registry.rows("SELECT 1 FROM webhook_deliveries WHERE done_at IS NULL")

    await eventually(has_everything, RECOVERY_DEADLINE_S)
    told = list(dict.fromkeys(version for _, version in receiver.told))
    tally.lost += len(set(committed) - set(told))
    assert tally.lost == 0
    assert told == sorted(committed)
    assert len(committed) == minor + 1
    await promises.until_recovered()
