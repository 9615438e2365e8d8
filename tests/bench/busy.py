"""A publish of 24 KB, beside a stopped worker that holds another package's lock, and on an idle registry."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

from tests.bench.measure import Times, archive_of, better, print_table
from tests.deploy.forked_commands import Forked
from tests.faults.cluster import Cluster, Process, open_cluster
from tests.faults.servers import Servers

ROUNDS, EACH, WARM_UP = 3, 100, 20
HELD: Final = "held"
AIM = 1.2
# Longer than a round takes, so that Postgres does not end the stopped worker's transaction.
VALUES: Final = {"database_timeout_seconds": 300, "metrics_bind": ""}


def main() -> None:
    """Print the times beside each other. Rounds alternate, and the better round of each counts."""
    idle, beside = asyncio.run(_measured())
    ratio = beside.percentile_ms(99) / idle.percentile_ms(99)
    notes = [
        "one publisher, one package after another, each waited for until readers see it",
        "the stopped worker has looked at a package that waits, and holds its lock; another worker runs",
        f"p99 beside the stopped worker: {ratio:.2f} times that of the idle registry (aim: {AIM})",
        f"the better of {ROUNDS} alternating rounds of {EACH} publishes, by median",
    ]
    columns = ["", "p50 ms", "p95 ms", "p99 ms"]
    rows = [["idle", *_figures(idle)], ["one package's lock held by a stopped worker", *_figures(beside)]]
    print_table("A publish beside a busy package", "busy", columns, rows, notes)


def _figures(times: Times) -> list[str]:
    return [f"{figure:.1f}" for figure in (times.p50_ms, times.p95_ms, times.percentile_ms(99))]


async def _measured() -> tuple[Times, Times]:
    idle, beside = [], []
    async with _running() as (cluster, writer):
        headers = await cluster.registry.add_publisher()
        await _publishes(writer, headers, "warm-up", WARM_UP)
        for number in range(ROUNDS):
            idle.append(await _publishes(writer, headers, f"idle{number}", EACH))
            victim = await _holding(cluster, writer, headers, number)
            beside.append(await _publishes(writer, headers, f"beside{number}", EACH))
            await victim.kill()
    return better(idle), better(beside)


@asynccontextmanager
async def _running() -> AsyncIterator[tuple[Cluster, Process]]:
    """A registry of real processes over a directory."""
    with tempfile.TemporaryDirectory(prefix="x07-bench-") as text:
        async with Servers.running() as servers:
            values: dict[str, Any] = {
                "database_url": await servers.new_database(),
                "redis_url": servers.valkey.url,
                "data_dir": Path(text) / "tree",
                "publish_wait_seconds": 10,
                **VALUES,
            }
            async with open_cluster(values, Path(text)) as cluster:
                writer, _, _ = await cluster.start_all("write", "read", "worker")
                yield cluster, writer


async def _holding(cluster: Cluster, writer: Process, headers: dict[str, str], number: int) -> Process:
    """A worker that has stopped itself while it holds the lock of a dirty package."""
    victim = await cluster.start("worker", test_stop_at="pause:after_look")
    command = victim.child
    assert isinstance(command, Forked)
    paused = asyncio.create_task(command.until_paused())
    tries = 0
    while not paused.done():  # until this worker, and not the other one, handles a wake-up
        name, tries = f"{HELD}-{number}-{tries}", tries + 1
        publish = asyncio.create_task(_publish(writer, headers, name))
        await asyncio.wait({publish, paused}, return_when=asyncio.FIRST_COMPLETED)
        publish.cancel()
        await asyncio.gather(publish, return_exceptions=True)
        await asyncio.sleep(0.05)
    return victim


async def _publishes(writer: Process, headers: dict[str, str], prefix: str, count: int) -> Times:
    each = []
    for number in range(count):
        begun = time.perf_counter()
        await _publish(writer, headers, f"{prefix}-{number}")
        each.append(time.perf_counter() - begun)
    return Times(each, sum(each))


async def _publish(writer: Process, headers: dict[str, str], name: str) -> None:
    answer = await writer.http.post("/v1/packages/publish", content=archive_of(name), headers=headers)
    assert answer.headers.get("x-x07-index-published") == "true", answer.text
