"""Costs that grow with the registry: the catalog's size, build and delay, a publish, the worker's memory.

`python -m tests.bench.growth 1000 1000000` measures other sizes.
"""

from __future__ import annotations

import asyncio
import json
import mmap
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import msgspec
import structlog

from indexer.catalog import CatalogPackage
from indexer.catalog_publication import publish_catalog
from shared.settings import load_settings
from tests.bench.copied_packages import CKSUM, VERSION, place_on_lists, put_index_files
from tests.bench.load import cpu_s
from tests.bench.measure import Client, Times, archive_of, better, print_table, timed
from tests.bench.publish import AS_OURS, database_url
from tests.bench.search import WORDS, package_names
from tests.deploy.processes import Up, environment, until
from worker.process import open_parts

MIB = 1 << 20
SIZES = (100, 1_000, 10_000, 100_000)
PUBLISHES = 60
ROUNDS = 3
PACED = 40
PAUSE_S = 1.0
DOCS_WORDS = 28
AIM_RATIO = 1.5
AIM_FOLLOWS_S = 5.0
AIM_PUBLISH_MS = 40
AIM_WORKER_MIB = 160

PAGE = 20_000
COLUMNS = {
    "packages": ("id", "name", "created_by", "latest_version"),
    "package_versions": ("package_id", "version", "cksum", "manifest", "published_by"),
    "index_state": ("package_id", "generation", "published_generation", "catalog_line"),
    "package_listings": (
        "package_id",
        "name",
        "latest_version",
        "is_official",
        "description",
        "modules_count",
        "facets",
        "archetypes",
    ),
    "search_names": ("name", "scale_tested"),
}


def main() -> None:
    """Print the table."""
    if sys.argv[1:2] == ["--build"]:
        asyncio.run(_build_here())
        return
    sizes = tuple(int(size) for size in sys.argv[1:] if size.isdigit()) or SIZES
    names = package_names(sizes[-1])
    with tempfile.TemporaryDirectory(prefix="x07-bench-") as directory:
        up = Up(Path(directory) / "registry")
        try:
            _until_a_worker_is_there(up)
            rows = _rows(up, names, sizes)
        finally:
            up.stop()
    notes = [
        f"publish: of 24 KB, a new package, by 1 publisher until its index file shows it; {PUBLISHES},",
        f"  the best of {ROUNDS} rounds; x: times the first row, aim {AIM_RATIO}",
        "build: catalog.json with its variant from rows, in a process of its own; memory: what that adds",
        f"one a second: {PACED} publishes, {PAUSE_S:.0f} s apart; CPU: processor time of all processes for",
        f"  each, aim {AIM_PUBLISH_MS} ms; follows: until the catalog lists it, aim {AIM_FOLLOWS_S:.0f} s;",
        f"  worker: its peak of resident memory, aim {AIM_WORKER_MIB} MiB",
    ]
    columns = [
        "packages",
        "catalog MiB",
        "gzip MiB",
        "build s",
        "memory MiB",
        "publish p50 ms",
        "p95 ms",
        "x",
        "one a second: CPU ms",
        "follows p50 s",
        "worst s",
        "worker MiB",
    ]
    print_table("growth", "growth", columns, rows, notes)


def _until_a_worker_is_there(up: Up) -> None:
    """Wait for the worker, because a registry answers before its worker runs."""
    client, headers = Client(up.url.removeprefix("http://")), {"authorization": f"Bearer {up.token}"}
    client.require("POST", "/v1/packages/publish", archive_of("first"), headers)
    until(lambda: client.call("GET", "/index/fi/rs/first")[0] == 200)
    client.close()


def _rows(up: Up, names: list[str], sizes: Sequence[int]) -> list[list[str]]:
    rows: list[list[str]] = []
    first: Times | None = None
    for there, size in zip((0, *sizes), sizes, strict=False):
        print(f"filling up to {size:,} packages", file=sys.stderr, flush=True)
        asyncio.run(_fill(up, names[there:size]))
        build_s, memory_mib = _build(up)
        publish = better(_publishes(up) for _ in range(ROUNDS))
        first = first or publish
        paced = _paced(up)
        catalog = up.data_dir / "index/catalog.json"
        rows.append(
            [
                f"{size:,}",
                f"{catalog.stat().st_size / MIB:.2f}",
                f"{catalog.with_suffix('.json.gz').stat().st_size / MIB:.2f}",
                f"{build_s:.2f}",
                f"{memory_mib:.0f}",
                f"{publish.p50_ms:.1f}",
                f"{publish.p95_ms:.1f}",
                f"{publish.p50_ms / first.p50_ms:.2f}",
                f"{paced.cpu_ms:.1f}",
                f"{statistics.median(paced.waits_s):.1f}",
                f"{max(paced.waits_s):.1f}",
                f"{peak_mib(up.pid_of('deploy.cli worker')):.0f}",
            ]
        )
        print(rows[-1], file=sys.stderr, flush=True)
    return rows


async def _fill(up: Up, names: list[str]) -> None:
    """Copy packages into the tables as if a worker had published them. Their docs compress as text does.

    Their index files are written, too: otherwise the worker would publish a dozen of them every five seconds,
    because healing finds that they differ from their rows.
    """
    connection: Any = await asyncpg.connect(database_url(up, "postgres"), server_settings=AS_OURS)
    random = Random(0)
    try:
        user = await connection.fetchval("SELECT id FROM users LIMIT 1")
        # The totals of grams, which triggers count one by one, are not measured here.
        await connection.execute("ALTER TABLE search_names DISABLE TRIGGER USER")
        for start in range(0, len(names), PAGE):
            pages = [_records(name, user, random) for name in names[start : start + PAGE]]
            for place, (table, columns) in enumerate(COLUMNS.items()):
                records = [page[place] for page in pages]
                await connection.copy_records_to_table(table, records=records, columns=columns)
            put_index_files(up.data_dir, ((page[0][1], page[1][3]) for page in pages))
        await place_on_lists(connection)
        await connection.execute("ALTER TABLE search_names ENABLE TRIGGER USER")
        await connection.execute("VACUUM ANALYZE")
    finally:
        await connection.close()


def _records(name: str, user: UUID, random: Random) -> tuple[tuple[Any, ...], ...]:
    """The rows of a package, one for each table of COLUMNS."""
    package_id, description = uuid4(), f"A package that does {name} things."
    docs = " ".join(random.choices(WORDS, k=DOCS_WORDS))
    line = CatalogPackage(
        name=name,
        is_official=False,
        latest=VERSION,
        description=description,
        docs=docs,
        facets=("binding:s3",),
    )
    manifest = json.dumps({"name": name, "modules": ["a", "b"], "description": description})
    return (
        (package_id, name, user, VERSION),
        (package_id, VERSION, CKSUM, manifest, user),
        (package_id, 1, 1, msgspec.json.encode(line)),
        (package_id, name, VERSION, False, description, 2, ["binding:s3"], []),
        (name, False),
    )


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
        before, begun = peak_mib("self"), time.perf_counter()
        while not await publish_catalog(parts, anew=True):  # the worker is building
            begun = time.perf_counter()
        print(time.perf_counter() - begun, peak_mib("self") - before)


def peak_mib(pid: int | str | None) -> float:
    """The peak of a process's resident memory."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
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


@dataclass(frozen=True, slots=True)
class Paced:
    """Publishes with pauses. cpu_ms: of all processes, for each publish."""

    cpu_ms: float
    waits_s: list[float]


def _paced(up: Up) -> Paced:
    """Publish a new package a second, and wait until the catalog lists each."""
    client, headers = Client(up.url.removeprefix("http://")), {"authorization": f"Bearer {up.token}"}
    catalog = up.data_dir / "index/catalog.json"
    published: dict[str, float] = {}
    waits: list[float] = []
    before_s, begun = cpu_s(up.process), time.monotonic()
    for number in range(PACED):
        name = f"s{time.monotonic_ns():x}{number}"
        client.require("POST", "/v1/packages/publish", archive_of(name), headers)
        published[name] = time.monotonic()
        while time.monotonic() < begun + (number + 1) * PAUSE_S:
            _take_listed(catalog, published, waits)
            time.sleep(0.05)
    cpu_ms = (cpu_s(up.process) - before_s) * 1000 / PACED
    until(lambda: _take_listed(catalog, published, waits) or not published, 60)
    client.close()
    return Paced(cpu_ms, waits)


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
