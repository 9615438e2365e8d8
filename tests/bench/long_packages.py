"""One more version of a package that has thousands: processor time of a worker and of Postgres."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import statistics
import time
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import structlog

from indexer.parts import Parts
from indexer.publication import publish_package
from shared.names import PackageName, parse_name
from tests.archives import hello_manifest
from tests.bench.measure import print_table
from tests.bench.servers import embedded_registry
from tests.deploy.processes import descendants
from worker.process import open_parts

SIZES: Final = (1, 100, 2000, 5000)
REPEATS: Final = 20
AIMS_MS: Final = {2000: 30, 5000: 120}

ADD_PACKAGE = """
    INSERT INTO packages (name, created_by, latest_version) VALUES ($1, $2, '0.0.0') RETURNING id
    """
ADD_VERSIONS = """
    INSERT INTO package_versions (package_id, version, cksum, manifest, published_by,
                                  signature_kind, signature_key_id, signature_bytes)
    SELECT $1, '1.0.' || n, encode(sha256(n::text::bytea), 'hex'),
           jsonb_set($2::jsonb, '{version}', to_jsonb('1.0.' || n)), $3,
           'ed25519', 'bench', sha512(n::text::bytea)
    FROM generate_series($4::int, $5::int - 1) AS n
    """
LATEST = "UPDATE packages SET latest_version = '1.0.' || ($2::int - 1)::text WHERE id = $1"
RAISE = """
    INSERT INTO index_state (package_id, dirty_since) VALUES ($1, now())
    ON CONFLICT (package_id) DO UPDATE SET generation = index_state.generation + 1
    """


def main() -> None:
    """Print the table. Logs of single publications are dropped."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    rows = asyncio.run(_measured())
    columns = ["versions", "worker CPU ms", "best", "Postgres CPU ms", "best", "p50 ms", "best", "aim ms"]
    notes = [
        f"one more version, from locking the rows to telling readers; {REPEATS} in a row, no archive",
        "CPU: processor time of the worker's process, and of all processes of Postgres: median and best,",
        "  because other work on the machine only adds to it",
    ]
    print_table("one more version of a package", "long_packages", columns, rows, notes)


async def _measured() -> list[list[str]]:
    async with embedded_registry() as (settings, connection), open_parts(settings) as parts:
        user = await connection.fetchval("INSERT INTO users (handle) VALUES ('bench') RETURNING id")
        return [await _row(parts, connection, user, size) for size in SIZES]


async def _row(parts: Parts, connection: Any, user: UUID, size: int) -> list[str]:
    name = parse_name(f"bench-{size}")
    package_id = await connection.fetchval(ADD_PACKAGE, name, user)
    manifest = json.dumps(hello_manifest(name))

    async def add(first: int, end: int) -> None:
        await connection.execute(ADD_VERSIONS, package_id, manifest, user, first, end)
        await connection.execute(LATEST, package_id, end)
        await connection.execute(RAISE, package_id)

    await add(0, size)
    await publish_package(parts, name)
    await connection.execute("ANALYZE")
    return await _one_more(parts, name, size, add)


async def _one_more(parts: Parts, name: PackageName, size: int, add: Any) -> list[str]:
    ours_ms: list[float] = []
    postgres_ms: list[float] = []
    each_ms: list[float] = []
    for number in range(REPEATS):
        await add(size + number, size + number + 1)
        ours, postgres, begun = time.process_time(), _postgres_s(), time.perf_counter()
        await publish_package(parts, name)
        each_ms.append((time.perf_counter() - begun) * 1000)
        ours_ms.append((time.process_time() - ours) * 1000)
        postgres_ms.append((_postgres_s() - postgres) * 1000)
    figures = (
        figure(some) for some in (ours_ms, postgres_ms, each_ms) for figure in (statistics.median, min)
    )
    return [f"{size:,}", *(f"{figure:.1f}" for figure in figures), str(AIMS_MS.get(size, ""))]


def _postgres_s() -> float:
    """Processor seconds of every process of Postgres so far, from the scheduler's own clock."""
    pids = [pid for pid, command in descendants(os.getpid()).items() if "postgres" in command]
    return sum(int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) for pid in pids) / 1e9


if __name__ == "__main__":
    main()
