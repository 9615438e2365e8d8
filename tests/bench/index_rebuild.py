"""The time to render and publish an index file again, for packages of 1, 100 and 1,000 versions."""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Any

import structlog

from indexer.entry import render_index_file
from indexer.parts import Parts
from indexer.publication import publish_package
from indexer.queries import packages
from indexer.rows import PackageRow
from shared.blobs import NDJSON_TYPE, index_key
from shared.names import parse_name
from tests.archives import hello_manifest
from tests.bench.measure import Times, better, print_table, timed
from tests.bench.servers import embedded_registry
from worker.process import open_parts

SIZES = (1, 100, 1000)
REPEATS = 20
ROUNDS = 2

ADD_PACKAGE = """
    INSERT INTO packages (name, created_by, latest_version) VALUES ($1, $2, $3) RETURNING id
    """
ADD_VERSIONS = """
    INSERT INTO package_versions (package_id, version, cksum, manifest, published_by,
                                  signature_kind, signature_key_id, signature_bytes)
    SELECT $1, '1.0.' || n, encode(sha256(n::text::bytea), 'hex'),
           jsonb_set($2::jsonb, '{version}', to_jsonb('1.0.' || n)), $3, 'ed25519', 'bench', $4
    FROM generate_series(0, $5::int - 1) AS n
    """
ADD_STATES = """
    INSERT INTO version_state (package_id, version, staged)
    SELECT package_id, version, false FROM package_versions WHERE package_id = $1
    """
RAISE = """
    INSERT INTO index_state (package_id, dirty_since) VALUES ($1, now())
    ON CONFLICT (package_id) DO UPDATE SET generation = index_state.generation + 1
    """
MARK = "UPDATE index_state SET published_generation = generation, catalog_line = $2 WHERE package_id = $1"
READ = "SELECT * FROM package_versions WHERE package_id = $1"


def main() -> None:
    """Print the table. Logs of single publications are dropped."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    asyncio.run(_measure())


async def _measure() -> None:
    async with embedded_registry() as (settings, connection), open_parts(settings) as parts:
        user = await connection.fetchval("INSERT INTO users (handle) VALUES ('bench') RETURNING id")
        rows = [await _row(parts, connection, user, size) for size in SIZES]
    columns = [
        "versions",
        "index KiB",
        "render ms",
        "first publish ms",
        "rebuild p50 ms",
        "p95 ms",
        "floor ms",
    ]
    notes = [
        "render: rows to bytes; first publish: with every metadata document",
        "rebuild: a second publish_package, from locking the rows to telling readers; metadata is unchanged",
        "floor: only reading the rows, writing the file and committing the mark; in brackets: rebuild p50",
        "  divided by the floor",
    ]
    print_table("index file made and published again", "index_rebuild", columns, rows, notes)


async def _row(parts: Parts, connection: Any, user: Any, size: int) -> list[str]:
    """Measure one package with this many versions."""
    name = parse_name(f"bench-{size}")
    package_id = await connection.fetchval(ADD_PACKAGE, name, user, f"1.0.{size - 1}")
    manifest = json.dumps(hello_manifest(name))
    await connection.execute(ADD_VERSIONS, package_id, manifest, user, bytes(64), size)
    await connection.execute(ADD_STATES, package_id)
    await connection.execute(RAISE, package_id)
    started = time.perf_counter()
    await publish_package(parts, name)
    first_ms = (time.perf_counter() - started) * 1000
    package = await _package(parts, name)
    body = render_index_file(package)
    render = better(timed([lambda: render_index_file(package)] * REPEATS) for _ in range(ROUNDS))

    async def rebuild() -> None:
        await publish_package(parts, name)

    async def bare() -> None:
        async with connection.transaction():
            await connection.fetch(READ, package_id)
            digest = hashlib.sha256(body).hexdigest()
            await parts.storage.put(index_key(name), body, content_type=NDJSON_TYPE, digest=digest)
            await connection.execute(MARK, package_id, b"line")

    async def dirty() -> None:
        await connection.execute(RAISE, package_id)

    rebuilds, floors = [], []
    for _ in range(ROUNDS):
        rebuilds.append(await _timed(rebuild, dirty))
        floors.append(await _timed(bare, dirty))
    ours, floor = better(rebuilds), better(floors)
    return [
        f"{size:,}",
        f"{len(body) / 1024:.1f}",
        f"{render.p50_ms:.2f}",
        f"{first_ms:.0f}",
        f"{ours.p50_ms:.1f}",
        f"{ours.p95_ms:.1f}",
        f"{floor.p50_ms:.1f} ({ours.p50_ms / floor.p50_ms:.1f})",
    ]


async def _package(parts: Parts, name: Any) -> PackageRow:
    async with parts.database.transaction() as tx:
        return (await packages.states_of(tx, [name], parts.settings.official_handle))[0].package


async def _timed(do: Callable[[], Awaitable[None]], before: Callable[[], Awaitable[None]]) -> Times:
    """Do it REPEATS times, each time after some work that is not measured."""
    each: list[float] = []
    for _ in range(REPEATS):
        await before()
        start = time.perf_counter()
        await do()
        each.append(time.perf_counter() - start)
    return Times(each, sum(each))


if __name__ == "__main__":
    main()
