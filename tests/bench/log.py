"""The transparency log of 100,000 packages: bytes, time to build, a backlog, cost a publish, `log verify`."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import resource
import subprocess
import sys
import time
from base64 import b64encode
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog
from pydantic import SecretStr

from indexer.log.entry import changed_line, parse_entry
from indexer.log.sequencer import Sequencer, open_sequencer
from indexer.log.tiles import parse_bundle, tiles_of
from indexer.parts import Parts
from indexer.queries.log import hand_over
from shared.blobs import index_key
from shared.names import PackageName
from shared.settings import Settings
from tests.archives import hello_manifest
from tests.bench.log_delay import merge_delays
from tests.bench.measure import print_table
from tests.bench.search import package_names
from tests.bench.servers import embedded_registry
from tests.deploy.processes import descendants, environment
from worker.process import open_parts

PACKAGES = int(os.environ.get("X07_BENCH_PACKAGES", "100000"))
VERSIONS = 3
BACKLOG = 50_000
PUBLISHES = 2_048
TOGETHER = (1, 16)
TURNS = 20
PER_TURN = 100
SEED = b64encode(bytes(range(32))).decode()
TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")

FILL = """
    WITH added AS (
        INSERT INTO packages (name, created_by, latest_version)
        SELECT name, $2::uuid, '0.3.0' FROM unnest($1::text[]) AS name RETURNING id, name
    ), versions AS (
        INSERT INTO package_versions (package_id, version, cksum, manifest, published_by)
        SELECT id, version, encode(sha256((name || version)::bytea), 'hex'),
               $3::jsonb || jsonb_build_object('name', name, 'version', version), $2
        FROM added CROSS JOIN unnest('{0.1.0,0.2.0,0.3.0}'::text[]) AS version
    )
    INSERT INTO index_state (package_id, generation, published_generation) SELECT id, 1, 1 FROM added
"""
WAIT = """
    INSERT INTO log_pending (name, version, entry)
    SELECT 'waiting', ($1 + n)::text, convert_to(json_build_object('name', 'waiting', 'version', $1 + n,
        'line', json_build_object('docs', repeat('x', 500)))::text, 'UTF8')
    FROM generate_series(1, $2::int) AS n
"""


@dataclass(frozen=True, slots=True)
class Cost:
    """The cost of some work. ours_s, postgres_s: processor time."""

    wall_s: float
    ours_s: float
    postgres_s: float


def main() -> None:
    """Print the tables. Single log lines are dropped."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    asyncio.run(_measure())
    delays = merge_delays()
    columns = ["publishers", "publishes a s", "p50 s", "p99 s", "worst s"]
    note = "from the transaction that records the publication until the checkpoint in storage covers it"
    print_table("merge delay, `up`", "log", columns, [delays], [note])


async def _measure() -> None:
    registry = embedded_registry(log_key_b64=SecretStr(SEED), log_origin="bench.example")
    async with registry as (settings, connection):
        rows = await _rows(settings, connection)
    notes = [
        f"{PACKAGES:,} packages of {VERSIONS} versions; storage is a directory, Postgres is durable",
        "processor time: of the sequencer's process, and of Postgres",
    ]
    print_table("the transparency log", "log", ["", "figure", "ours, CPU", "Postgres, CPU"], rows, notes)


async def _rows(settings: Settings, connection: Any) -> list[list[str]]:
    await _fill(connection)
    async with open_parts(settings) as parts:
        sequencer = open_sequencer(settings, parts.database, parts.storage, parts.notifier)
        assert sequencer is not None
        built = await _cost(sequencer.run)
        rows = [_row(f"built from nothing: {PACKAGES * VERSIONS:,} entries", f"{built.wall_s:.1f} s", built)]
        rows += _bytes(settings.data_dir / "log")
        rows.append(await asyncio.to_thread(_verified, settings.data_dir, str(sequencer.signer.verifier)))
        await connection.execute(WAIT, 0, BACKLOG)
        backlog = await _cost(sequencer.run)
        per_second = BACKLOG / backlog.wall_s
        rows.append(_row(f"backlog of {BACKLOG:,} entries", f"{per_second:,.0f} a second", backlog))
        return [*rows, *await _costs_of_publishes(parts, sequencer, connection)]


async def _fill(connection: Any) -> None:
    """Insert packages as if a worker without a log had published them."""
    print(f"filling {PACKAGES:,} packages", file=sys.stderr, flush=True)
    user = await connection.fetchval("INSERT INTO users (handle) VALUES ('bench') RETURNING id")
    manifest = json.dumps(hello_manifest("x", docs="How to use it. " * 12))
    names = package_names(PACKAGES)
    for start in range(0, len(names), 5000):
        await connection.execute(FILL, names[start : start + 5000], user, manifest)
    await connection.execute("VACUUM ANALYZE")


async def _cost(work: Callable[[], Awaitable[object]]) -> Cost:
    postgres, ours, wall = _postgres_s(), time.process_time(), time.perf_counter()
    await work()
    return Cost(time.perf_counter() - wall, time.process_time() - ours, _postgres_s() - postgres)


def _postgres_s() -> float:
    """Processor time of Postgres, including backends that have ended."""
    ticks = 0
    for pid, command in descendants(os.getpid()).items():
        if "postgres" in command:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            ticks += sum(map(int, fields[11:15]))  # utime, stime, cutime, cstime
    return ticks / TICKS_A_SECOND


def _row(what: str, figure: str, cost: Cost) -> list[str]:
    return [what, figure, f"{cost.ours_s:.1f} s", f"{cost.postgres_s:.1f} s"]


def _bytes(log: Path) -> list[list[str]]:
    """The bytes of the log's files, by kind."""
    bundles, variants, tiles = 0, 0, 0
    for path in log.rglob("*"):
        if path.is_file() and "entries" not in path.parts:
            tiles += path.stat().st_size
        elif path.is_file() and path.suffix in ("", *(f".{n}" for n in range(256))):
            bundles += path.stat().st_size
        elif path.is_file():
            variants += path.stat().st_size
    sizes = {"entry bundles": bundles, "the same, compressed": variants, "tiles and checkpoint": tiles}
    return [[f"bytes: {what}", f"{size / (1 << 20):.1f} MiB", "", ""] for what, size in sizes.items()]


def _verified(tree: Path, vkey: str) -> list[str]:
    """Run `log verify` on the log and an index with the same lines."""
    _write_index(tree, vkey)
    command = [sys.executable, "-m", "deploy.cli", "log", "verify", "--url", tree.as_uri(), "--vkey", vkey]
    before, begun = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(command, env=environment(), check=True, stdout=subprocess.DEVNULL)
    wall_s, after = time.perf_counter() - begun, resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    memory = f"{after.ru_maxrss / 1024:.0f} MiB"
    return [f"`log verify` of it and the index ({memory})", f"{wall_s:.1f} s", f"{cpu_s:.1f} s", ""]


def _write_index(tree: Path, vkey: str) -> None:
    """Write index files and a catalog with the lines in the log, and config.json with its key."""
    lines: dict[str, list[bytes]] = {}
    for tile in tiles_of(PACKAGES * VERSIONS, None):
        for raw in parse_bundle((tree / "log" / tile.path).read_bytes()):
            entry = parse_entry(raw)
            lines.setdefault(entry.name, []).append(bytes(entry.line))  # type: ignore[arg-type]
    for name, some in lines.items():
        path = tree / index_key(PackageName(name))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"\n".join([*some, b""]))
    catalog = {"packages": [{"name": name} for name in lines]}
    (tree / "index/catalog.json").write_text(json.dumps(catalog))
    (tree / "index/config.json").write_text(json.dumps({"log": {"url": "log/", "vkey": vkey}}))


async def _costs_of_publishes(parts: Parts, sequencer: Sequencer, connection: Any) -> Iterable[list[str]]:
    """The costs per publish: handing its line over, and its share of a turn of the sequencer."""
    handed = [
        _each(
            f"a publish: its line handed over, {count} together",
            await _cost(_handing(parts, count)),
            PUBLISHES,
        )
        for count in TOGETHER
    ]
    await sequencer.run()

    async def turns() -> None:
        for number in range(TURNS):
            await connection.execute(WAIT, BACKLOG + number * PER_TURN, PER_TURN)
            await sequencer.run()

    await connection.execute("VACUUM ANALYZE")  # as Postgres does by itself within minutes of a backlog
    grown = await _cost(turns)
    return [*handed, _each(f"a publish: its part of a turn of {PER_TURN}", grown, TURNS * PER_TURN)]


def _handing(parts: Parts, together: int) -> Callable[[], Awaitable[object]]:
    """Hand over the lines of all publishes, this many per statement, as batches of publications do."""
    line = json.dumps(hello_manifest("bench", docs="How to use it. " * 12), separators=(",", ":")).encode()

    async def hand_all_over() -> None:
        async with parts.database.transaction() as tx:
            for start in range(0, PUBLISHES, together):
                names = (f"bench-{together}-{number}" for number in range(start, start + together))
                await hand_over(tx, [changed_line(PackageName(name), "0.1.0", line) for name in names])

    return hand_all_over


def _each(what: str, cost: Cost, count: int) -> list[str]:
    ours, postgres = (seconds / count * 1000 for seconds in (cost.ours_s, cost.postgres_s))
    return [what, f"{ours + postgres:.3f} ms", f"{ours:.3f} ms", f"{postgres:.3f} ms"]


if __name__ == "__main__":
    main()
