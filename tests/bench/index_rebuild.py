"""An index file made and published again, for a package of 1, 100 and 1,000 versions."""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import asyncpg
import structlog
from pydantic import SecretStr

from deploy.local.home import open_home
from deploy.local.postgres import EmbeddedPostgres
from deploy.local.valkey import EmbeddedValkey
from deploy.migrations.runner import migrate
from indexer import queries
from indexer.entry import render_index_file
from indexer.publication import Parts, publish_package
from indexer.rows import PackageRow
from shared.blobs import NDJSON_TYPE, index_key
from shared.database import Database
from shared.jobs import Notifier
from shared.names import parse_name
from shared.settings import Settings
from shared.storage import open_storage
from tests.archives import hello_manifest
from tests.bench.measure import Times, better, print_table, timed

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
    """Print the table; the log of single publications is left out."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    asyncio.run(_measure())


async def _measure() -> None:
    with (
        tempfile.TemporaryDirectory(prefix="x07-bench-") as directory,
        open_home(Path(directory)) as home,
    ):
        postgres, valkey = EmbeddedPostgres(home), EmbeddedValkey(home)
        await postgres.start()
        await valkey.start()
        settings = Settings(
            database_url=SecretStr(postgres.url), redis_url=SecretStr(valkey.url), data_dir=home.data_dir
        )
        try:
            rows = await _measured(settings, postgres.url)
        finally:
            await valkey.stop()
            await postgres.stop()
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
        "render: rows to bytes; first publish: every metadata document too; rebuild: publish_package again,",
        "  from the locked rows to the committed mark and the message to readers; no metadata changed",
        "floor: the same rows read, its bytes put, the mark committed, bare; in brackets: times the floor",
    ]
    print_table("index file made and published again", "index_rebuild", columns, rows, notes)


async def _measured(settings: Settings, url: str) -> list[list[str]]:
    await migrate(settings)
    database, notifier = Database(settings), Notifier(settings)
    storage = await open_storage(settings)
    connection = await asyncpg.connect(url, server_settings={"application_name": "x07-registry"})
    try:
        user = await connection.fetchval("INSERT INTO users (handle) VALUES ('bench') RETURNING id")
        parts = Parts(settings, database, storage, notifier)
        return [await _row(parts, connection, user, size) for size in SIZES]
    finally:
        await connection.close()
        await storage.close()
        await notifier.close()
        await database.close()


async def _row(parts: Parts, connection: Any, user: Any, size: int) -> list[str]:
    """One package of so many versions, measured."""
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
        return (await queries.states_of(tx, [name], parts.settings.official_handle))[0].package


async def _timed(do: Callable[[], Awaitable[None]], before: Callable[[], Awaitable[None]]) -> Times:
    """Do it REPEATS times, each after something that does not count."""
    each: list[float] = []
    for _ in range(REPEATS):
        await before()
        start = time.perf_counter()
        await do()
        each.append(time.perf_counter() - start)
    return Times(each, sum(each))


if __name__ == "__main__":
    main()
