"""A publish of 24 KB, beside a stopped worker that holds another package's lock, and on an idle registry.

It is measured for packages that are new, and for packages that nobody touched since everything restarted.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

from shared.concurrency import for_each
from tests.bench.measure import Times, archive_of, better, print_table
from tests.deploy.forked_commands import Forked
from tests.faults.cluster import Cluster, Process, open_cluster
from tests.faults.servers import Servers

ROUNDS, EACH, WARM_UP = 3, 100, 20
HELD: Final = "held"
AIM = 1.2
PUBLISHERS: Final = 16
# Longer than a round takes, so that Postgres does not end the stopped worker's transaction.
VALUES: Final = {"database_timeout_seconds": 300, "metrics_bind": ""}
Pair = tuple[Times, Times]
"""Times on an idle registry, and beside the stopped worker."""


def main() -> None:
    """Print the times beside each other. Rounds alternate, and the better round of each counts."""
    new, cold = asyncio.run(_measured())
    notes = [
        "one publisher, one package after another, each waited for until readers see it",
        "the stopped worker has looked at a package that waits, and holds its lock; another worker runs",
        "cold: a second version of a package that nobody touched since all processes and Postgres restarted",
        f"p99 beside the stopped worker: {_ratio(new):.2f} times that of the idle registry, "
        f"cold {_ratio(cold):.2f} times (aim: {AIM})",
        f"the better of {ROUNDS} alternating rounds of {EACH} publishes, by median",
    ]
    columns = ["", "p50 ms", "p95 ms", "p99 ms"]
    rows = [
        [f"{kind}, {title}", *_figures(times)]
        for kind, pair in (("new packages", new), ("cold packages", cold))
        for title, times in zip(("idle", "one package's lock held by a stopped worker"), pair, strict=True)
    ]
    print_table("A publish beside a busy package", "busy", columns, rows, notes)


def _ratio(pair: Pair) -> float:
    idle, beside = pair
    return beside.percentile_ms(99) / idle.percentile_ms(99)


def _figures(times: Times) -> list[str]:
    return [f"{figure:.1f}" for figure in (times.p50_ms, times.p95_ms, times.percentile_ms(99))]


async def _measured() -> tuple[Pair, Pair]:
    """The times for new packages and for cold ones."""
    async with _running() as (cluster, servers):
        headers = await cluster.registry.add_publisher()
        processes = await cluster.start_all("write", "read", "worker")
        await _publishes(processes[0], headers, _names("warm-up", WARM_UP), "0.1.0")
        new = await _rounds(cluster, processes[0], headers, "new", "0.1.0")
        cold = [name for number in range(ROUNDS) for name in _names_of_round("cold", number)]
        await _publish_at_once(processes[0], headers, cold)
        for process in processes:
            await process.close()
        await servers.postgres.stop()
        await servers.postgres.start()
        writer, _, _ = await cluster.start_all("write", "read", "worker")
        await _publishes(writer, headers, _names("warm-up-again", WARM_UP), "0.1.0")
        return new, await _rounds(cluster, writer, headers, "cold", "0.2.0")


async def _rounds(
    cluster: Cluster, writer: Process, headers: dict[str, str], prefix: str, version: str
) -> Pair:
    """Alternating rounds of publishes of this version."""
    idle, beside = [], []
    for number in range(ROUNDS):
        names = _names_of_round(prefix, number)
        idle.append(await _publishes(writer, headers, names[:EACH], version))
        victim = await _holding(cluster, writer, headers, f"{prefix}-{number}")
        beside.append(await _publishes(writer, headers, names[EACH:], version))
        await victim.kill()
    return better(idle), better(beside)


def _names(prefix: str, count: int) -> list[str]:
    return [f"{prefix}-{number}" for number in range(count)]


def _names_of_round(prefix: str, number: int) -> list[str]:
    return _names(f"{prefix}{number}", 2 * EACH)


async def _publish_at_once(writer: Process, headers: dict[str, str], names: Sequence[str]) -> None:
    """Publish a first version of each package, some at a time."""
    await for_each(names, lambda name: _publish(writer, headers, name, "0.1.0"), at_once=PUBLISHERS)


@asynccontextmanager
async def _running() -> AsyncIterator[tuple[Cluster, Servers]]:
    """A registry over a directory, without processes yet, and its servers."""
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
                yield cluster, servers


async def _holding(cluster: Cluster, writer: Process, headers: dict[str, str], number: str) -> Process:
    """A worker that has stopped itself while it holds the lock of a dirty package."""
    victim = await cluster.start("worker", test_stop_at="pause:after_look")
    command = victim.child
    assert isinstance(command, Forked)
    paused = asyncio.create_task(command.until_paused())
    tries = 0
    while not paused.done():  # until this worker, and not the other one, handles a wake-up
        name, tries = f"{HELD}-{number}-{tries}", tries + 1
        publish = asyncio.create_task(_publish(writer, headers, name, "0.1.0"))
        await asyncio.wait({publish, paused}, return_when=asyncio.FIRST_COMPLETED)
        publish.cancel()
        await asyncio.gather(publish, return_exceptions=True)
        await asyncio.sleep(0.05)
    return victim


async def _publishes(writer: Process, headers: dict[str, str], names: Sequence[str], version: str) -> Times:
    each = []
    for name in names:
        begun = time.perf_counter()
        await _publish(writer, headers, name, version)
        each.append(time.perf_counter() - begun)
    return Times(each, sum(each))


async def _publish(writer: Process, headers: dict[str, str], name: str, version: str) -> None:
    archive = archive_of(name, version)
    answer = await writer.http.post("/v1/packages/publish", content=archive, headers=headers)
    assert answer.headers.get("x-x07-index-published") == "true", answer.text
