"""What waiting out a time-to-live and purging cost: requests to readers, and how long an edge is behind.

`python -m tests.bench.purging` runs a registry behind a Varnish twice, with copies that last 5 s, and with
copies that last an hour and are purged. Each time, 40 packages are read
again and again, and every few seconds one of them gets a new version.
"""

from __future__ import annotations

import asyncio
import os
import socket
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import httpx
from starlette.types import ASGIApp

from deploy.asgi import build_combined_app
from deploy.local.home import open_home
from deploy.local.postgres import EmbeddedPostgres
from deploy.local.valkey import EmbeddedValkey
from deploy.migrations.runner import migrate
from shared.names import PackageName, shard_path
from shared.settings import Settings
from tests.archives import hello_archive
from tests.edge.conftest import Tier
from tests.edge.nginx import free_port
from tests.memory import servers_directory
from tests.stack import Registry, running_registry
from tests.varnish.varnish import running_varnish

PACKAGES, PUBLISHES, EVERY_S, READS_PER_S = 40, 12, 5.0, 100
SECRET = "bench"
NAMES = [f"package-{number}" for number in range(PACKAGES)]
WAYS: dict[str, dict[str, Any]] = {
    "5 s": {"edge_fresh_seconds": 5},
    "an hour, purged": {"edge_fresh_seconds": 3600, "purge": "varnish"},
}


def path_of(name: str) -> str:
    """The path of an index file."""
    return f"/index/{shard_path(PackageName(name))}"


async def read_for_ever(http: httpx.AsyncClient) -> None:
    """Read the packages in turn."""
    while True:
        for name in NAMES:
            await asyncio.gather(http.get(path_of(name)), asyncio.sleep(1 / READS_PER_S))


async def behind_s(http: httpx.AsyncClient, name: str, version: str) -> float:
    """Seconds until the edge answers with the version."""
    begun = time.monotonic()
    while f'"version":"{version}"' not in (await http.get(path_of(name))).text:
        await asyncio.sleep(0.01)
    return time.monotonic() - begun


async def run(http: httpx.AsyncClient, registry: Registry, tier: Tier) -> str:
    """Read and publish. Returns a row of the table."""
    headers = await registry.add_publisher()
    for name in NAMES:
        await registry.publish(hello_archive(name), headers)
        await http.get(path_of(name))
    await asyncio.sleep(EVERY_S)
    tier.seen.clear()
    begun, waits = time.monotonic(), []
    reading = asyncio.create_task(read_for_ever(http))
    for number in range(PUBLISHES):
        next_at = asyncio.create_task(asyncio.sleep(EVERY_S))
        await registry.publish(hello_archive(NAMES[number], "0.2.0"), headers)
        waits.append(await behind_s(http, NAMES[number], "0.2.0"))
        await next_at
    reading.cancel()
    asked = sum(target.startswith("/index/") for target, _ in tier.seen) / (time.monotonic() - begun)
    return f"{asked:.1f} | {statistics.median(waits):.2f} s | {max(waits):.2f} s"


def main() -> None:
    """Print the table."""
    asyncio.run(compare())


async def compare() -> None:
    """Run each way, and print a row for it."""
    with (
        tempfile.TemporaryDirectory(prefix="x07-bench-", dir=servers_directory()) as directory,
        open_home(Path(directory)) as home,
    ):
        postgres, valkey = EmbeddedPostgres(home, durable=False), EmbeddedValkey(home)
        await postgres.start()
        await valkey.start()
        try:
            print("| copies last | requests a second to readers | behind, median | behind, most |")
            print("| --- | ---: | ---: | ---: |")
            for number, (way, values) in enumerate(WAYS.items()):
                place = Path(directory) / f"way-{number}"
                place.mkdir()
                settings = {"database_url": postgres.url, "redis_url": valkey.url, **values}
                schema = f"way_{number}"
                print(
                    f"| {way} | {await measure(place, settings | {'database_schema': schema})} |", flush=True
                )
        finally:
            await valkey.stop()
            await postgres.stop()
    print(f"load {os.getloadavg()[0]:.1f}")


async def measure(place: Path, values: dict[str, Any]) -> str:
    """Run one way in a directory."""
    port, tier = free_port(), Tier()
    listener = socket.create_server(("127.0.0.1", 0))
    address = f"127.0.0.1:{listener.getsockname()[1]}"
    edge = {"purge_urls": (f"http://127.0.0.1:{port}/",), "purge_secret": SECRET}
    common = {
        "redis_namespace": values["database_schema"],
        "data_dir": place / "tree",
        "publish_wait_seconds": 20,
    }
    settings = Settings(**values, **edge, **common)
    await migrate(settings)

    def watched(settings: Settings) -> ASGIApp:
        return tier.in_front_of(build_combined_app(settings))

    async with (
        running_varnish(place / "varnish", port, address, address, SECRET) as url,
        running_registry(settings, build_app=watched, listener=listener) as registry,
        httpx.AsyncClient(base_url=url, timeout=30) as http,
    ):
        return await run(http, registry, tier)


if __name__ == "__main__":
    main()
