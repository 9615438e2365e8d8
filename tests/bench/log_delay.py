"""The time from a publish to the checkpoint that covers its line, while several publishers are active."""

from __future__ import annotations

import asyncio
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import asyncpg

from tests.bench.measure import Client, Times, archive_of
from tests.bench.publish import AS_OURS, database_url
from tests.deploy.processes import Up, until

PUBLISHERS = 4
PUBLISH_S = 20.0
LOOK_S = 0.01


def merge_delays() -> list[str]:
    """Publishers, publishes per second, and delays in seconds: median, 99th percentile, maximum."""
    with tempfile.TemporaryDirectory(prefix="x07-bench-") as directory:
        up = Up(Path(directory) / "registry")
        try:
            delays, seconds = _measured(up)
        finally:
            up.stop()
    times = Times(delays, seconds)
    return [
        str(PUBLISHERS),
        f"{times.per_second:.0f}",
        f"{times.p50_ms / 1000:.2f}",
        f"{times.percentile_ms(99) / 1000:.2f}",
        f"{max(delays):.2f}",
    ]


def _measured(up: Up) -> tuple[list[float], float]:
    """The delay of each entry, and the duration of all publishes, in seconds."""
    checkpoint, seen, stop = up.data_dir / "log/checkpoint", list[tuple[float, int]](), threading.Event()
    until(checkpoint.exists)
    watcher = threading.Thread(target=_watch, args=(checkpoint, seen, stop))
    publishers = [threading.Thread(target=_publish, args=(up, number)) for number in range(PUBLISHERS)]
    watcher.start()
    begun = time.monotonic()
    for publisher in publishers:
        publisher.start()
    for publisher in publishers:
        publisher.join()
    seconds = time.monotonic() - begun
    entries = asyncio.run(_entries(up))
    until(lambda: seen and seen[-1][1] >= len(entries))
    stop.set()
    watcher.join()
    return [_seen_at(seen, index) - published for index, published in entries], seconds


def _watch(checkpoint: Path, seen: list[tuple[float, int]], stop: threading.Event) -> None:
    """Record when each size appeared."""
    while not stop.is_set():
        size = int(checkpoint.read_text().split("\n")[1])
        if not seen or seen[-1][1] != size:
            seen.append((time.time(), size))
        time.sleep(LOOK_S)


def _publish(up: Up, number: int) -> None:
    client, headers = Client(up.url.removeprefix("http://")), {"authorization": f"Bearer {up.token}"}
    end = time.monotonic() + PUBLISH_S
    while time.monotonic() < end:
        client.require(
            "POST", "/v1/packages/publish", archive_of(f"d{time.monotonic_ns():x}{number}"), headers
        )
    client.close()


async def _entries(up: Up) -> list[tuple[int, float]]:
    """Index and time of publication (POSIX) of every entry, once all have an index."""
    connection: Any = await asyncpg.connect(database_url(up, "postgres"), server_settings=AS_OURS)
    try:
        while await connection.fetchval("SELECT EXISTS (SELECT FROM log_pending)"):
            await asyncio.sleep(0.1)
        query = "SELECT entry_index, EXTRACT(EPOCH FROM published_at)::float8 AS at FROM log_entries"
        return [(row["entry_index"], row["at"]) for row in await connection.fetch(query)]
    finally:
        await connection.close()


def _seen_at(seen: list[tuple[float, int]], index: int) -> float:
    return next(at for at, size in seen if size > index)
