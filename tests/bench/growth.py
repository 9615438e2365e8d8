"""Costs that grow with the registry: the catalog's size, build and delay, and a publish."""

from __future__ import annotations

import asyncio
import mmap
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import asyncpg
import structlog

from indexer.catalog_publication import publish_catalog
from shared.settings import load_settings
from tests.bench.measure import Client, Times, archive_of, better, print_table, timed
from tests.bench.publish import AS_OURS, database_url
from tests.bench.search import package_names
from tests.deploy.processes import Up, environment, until
from worker.process import open_parts

SIZES = (100, 1_000, 10_000, 100_000)
PUBLISHES = 60
ROUNDS = 3
STREAM_S = 15.0
STREAMS = 4
AIM_RATIO = 1.5
AIM_FOLLOWS_S = 10.0

FILL = """
    WITH added AS (
        INSERT INTO packages (name, created_by, latest_version)
        SELECT name, (SELECT id FROM users LIMIT 1), '0.1.0' FROM unnest($1::text[]) AS name
        RETURNING id, name, created_by
    ), versions AS (
        INSERT INTO package_versions (package_id, version, cksum, manifest, published_by)
        SELECT id, '0.1.0', repeat('0', 64), jsonb_build_object('name', name, 'modules', '["a", "b"]'::jsonb,
            'description', 'A package that does ' || name || ' things.'), created_by FROM added
    ), listings AS (
        INSERT INTO package_listings
        SELECT id, name, '0.1.0', false, 'A package that does ' || name || ' things.', 2, '{binding:s3}', '{}'
        FROM added
    )
    INSERT INTO index_state (package_id, generation, published_generation, catalog_line)
    SELECT id, 1, 1, convert_to(json_build_object('name', name, 'is_official', false, 'latest', '0.1.0',
        'description', 'A package that does ' || name || ' things.',
        'docs', repeat('How to use it. ', 12), 'facets', '["binding:s3"]'::json)::text, 'UTF8')
    FROM added
"""
FILL_NAMES = "INSERT INTO search_names SELECT name, false FROM unnest($1::text[]) AS name"


def main() -> None:
    """Print the table."""
    if sys.argv[1:2] == ["--build"]:
        asyncio.run(_build_here())
        return
    names = package_names(SIZES[-1])
    with tempfile.TemporaryDirectory(prefix="x07-bench-") as directory:
        up = Up(Path(directory) / "registry")
        try:
            _until_a_worker_is_there(up)
            rows = _rows(up, names)
        finally:
            up.stop()
    notes = [
        f"publish: of 24 KB, a new package, by 1 publisher until its index file shows it; {PUBLISHES},",
        f"  the best of {ROUNDS} rounds; x: times the first row, aim {AIM_RATIO}",
        "build: catalog.json with its variants, in a process of its own; memory: what that adds",
        f"follows: the worst wait of a published package for the catalog, while {STREAMS} publishers publish",
        f"  for {STREAM_S:.0f} s without a pause; aim {AIM_FOLLOWS_S:.0f} s",
    ]
    columns = [
        "packages",
        "catalog MiB",
        "build s",
        "memory MiB",
        "publish p50 ms",
        "p95 ms",
        "x",
        "follows s",
    ]
    print_table("growth", "growth", columns, rows, notes)


def _until_a_worker_is_there(up: Up) -> None:
    """Wait for the worker, because a registry answers before its worker runs."""
    client, headers = Client(up.url.removeprefix("http://")), {"authorization": f"Bearer {up.token}"}
    client.require("POST", "/v1/packages/publish", archive_of("first"), headers)
    until(lambda: client.call("GET", "/index/fi/rs/first")[0] == 200)
    client.close()


def _rows(up: Up, names: list[str]) -> list[list[str]]:
    rows: list[list[str]] = []
    first: Times | None = None
    for there, size in zip((0, *SIZES), SIZES, strict=False):
        print(f"filling up to {size:,} packages", file=sys.stderr, flush=True)
        asyncio.run(_fill(database_url(up, "postgres"), names[there:size]))
        build_s, memory_mib = _build(up)
        publish = better(_publishes(up) for _ in range(ROUNDS))
        first = first or publish
        catalog_mib = (up.data_dir / "index/catalog.json").stat().st_size / (1 << 20)
        rows.append(
            [
                f"{size:,}",
                f"{catalog_mib:.2f}",
                f"{build_s:.2f}",
                f"{memory_mib:.0f}",
                f"{publish.p50_ms:.1f}",
                f"{publish.p95_ms:.1f}",
                f"{publish.p50_ms / first.p50_ms:.2f}",
                f"{_follows_s(up):.1f}",
            ]
        )
    return rows


async def _fill(url: str, names: list[str]) -> None:
    """Insert packages as if a worker had published them."""
    connection: Any = await asyncpg.connect(url, server_settings=AS_OURS)
    try:
        for start in range(0, len(names), 5000):
            await connection.execute(FILL, names[start : start + 5000])
            await connection.execute(FILL_NAMES, names[start : start + 5000])
        await connection.execute("VACUUM ANALYZE")
    finally:
        await connection.close()


def _build(up: Up) -> tuple[float, float]:
    """Seconds and MiB for a build of the catalog, in a process of its own."""
    variables = environment(
        X07_REGISTRY_DATABASE_URL=database_url(up, "postgres"), X07_REGISTRY_DATA_DIR=str(up.data_dir)
    )
    command = [sys.executable, "-m", "tests.bench.growth", "--build"]
    done = subprocess.run(command, env=variables, capture_output=True, text=True, check=True)
    seconds, mib = done.stdout.split()[-2:]
    return float(seconds), float(mib)


async def _build_here() -> None:
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    async with open_parts(load_settings()) as parts:
        await parts.database.check()
        before, begun = _peak_mib(), time.perf_counter()
        await publish_catalog(parts, anew=True)
        print(time.perf_counter() - begun, _peak_mib() - before)


def _peak_mib() -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM:"))


def _publishes(up: Up) -> Times:
    client = Client(up.url.removeprefix("http://"))
    headers = {"authorization": f"Bearer {up.token}"}
    bodies = [archive_of(f"g{time.monotonic_ns():x}{number}") for number in range(PUBLISHES)]

    def publish(body: bytes) -> None:
        header, _ = client.require("POST", "/v1/packages/publish", body, headers)
        if header("x-x07-index-published") != "true":
            raise RuntimeError("a publish was not visible within its wait")

    times = timed([lambda body=body: publish(body) for body in bodies])  # type: ignore[misc]
    client.close()
    return times


def _follows_s(up: Up) -> float:
    """The worst delay between a publish and the catalog, under a steady stream of publishes."""
    published: dict[str, float] = {}
    waits: list[float] = []
    stop = threading.Event()
    threads = [
        threading.Thread(target=_stream, args=(up, number, published, stop)) for number in range(STREAMS)
    ]
    for thread in threads:
        thread.start()
    end = time.monotonic() + STREAM_S
    while time.monotonic() < end or published:
        if time.monotonic() > end:
            stop.set()
        _take_listed(up.data_dir / "index/catalog.json", published, waits)
        if time.monotonic() > end + 60:
            raise RuntimeError("the catalog does not follow")
        time.sleep(0.1)
    for thread in threads:
        thread.join()
    return max(waits)


def _stream(up: Up, number: int, published: dict[str, float], stop: threading.Event) -> None:
    client, headers = Client(up.url.removeprefix("http://")), {"authorization": f"Bearer {up.token}"}
    while not stop.is_set():
        name = f"s{time.monotonic_ns():x}{number}"
        client.require("POST", "/v1/packages/publish", archive_of(name), headers)
        published[name] = time.monotonic()
    client.close()


def _take_listed(path: Path, published: dict[str, float], waits: list[float]) -> None:
    """Move the packages that the catalog lists from published to waits."""
    now = time.monotonic()
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as catalog:
        for name, at in sorted(published.items(), key=lambda item: item[1]):
            if catalog.find(f'"name":"{name}"'.encode()) < 0:
                return
            del published[name]
            waits.append(now - at)


if __name__ == "__main__":
    main()
