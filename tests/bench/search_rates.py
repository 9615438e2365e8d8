"""The rate of searches over 32 connections, of several checkouts: `python -m tests.bench.search_rates DIR …`.

Each checkout serves the write API with its own code on a database that it migrated itself, and that holds the
same packages. They take turns.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import asyncpg

from deploy.local.home import open_home
from deploy.local.postgres import EmbeddedPostgres
from tests.bench.load import CONNECTIONS, Load, one_request, require_wrk, wrk
from tests.bench.measure import print_table
from tests.bench.peers import answering, free_port, stop
from tests.bench.search import Case, fill, package_names
from tests.deploy.processes import COMMAND, environment

SIZES = (1_000, 100_000)
ROUNDS = 5
SECONDS = 2.0
CASES = (
    Case("json"),
    Case("zstd-tar"),
    Case("ext-"),
    Case(""),
    Case("", offset=50_000),
    Case("no-such-name"),
)


@dataclass(frozen=True, slots=True)
class Side:
    """A server of one checkout, and its runs by case."""

    name: str
    address: str
    process: subprocess.Popen[bytes]
    runs: dict[Case, list[Load]] = field(default_factory=dict)

    def row(self, case: Case) -> list[str]:
        """Medians over the rounds."""
        runs = self.runs[case]
        rate, cpu = median(run.per_second for run in runs), median(run.cpu_us for run in runs)
        p50, p99 = median(run.p50_us for run in runs), median(run.p99_us for run in runs)
        late = sum(run.errors for run in runs)
        return [f"{rate:,.0f}", f"{cpu:,.0f}", f"{p50 / 1000:.1f}", f"{p99 / 1000:.1f}", str(late)]


def main(checkouts: Sequence[Path]) -> None:
    """Print a table for each size."""
    require_wrk()
    for size in SIZES:
        asyncio.run(_measure(size, checkouts))


async def _measure(size: int, checkouts: Sequence[Path]) -> None:
    with (
        tempfile.TemporaryDirectory(prefix="x07-bench-") as directory,
        open_home(Path(directory) / "home") as home,
        ExitStack() as stack,
    ):
        postgres = EmbeddedPostgres(home, durable=False)
        await postgres.start()
        try:
            sides = [
                stack.enter_context(await _side(postgres, checkout, size, Path(directory) / f"side{place}"))
                for place, checkout in enumerate(checkouts)
            ]
            await asyncio.to_thread(_run, sides, Path(directory))
            stack.close()
        finally:
            await postgres.stop()
    _print(size, sides, checkouts)


async def _side(
    postgres: EmbeddedPostgres, checkout: Path, size: int, directory: Path
) -> AbstractContextManager[Side]:
    """The write API of a checkout on a database of its own with this number of packages."""
    directory.mkdir()
    server = await asyncpg.connect(postgres.url)
    await server.execute(f"CREATE DATABASE {directory.name}")
    await server.close()
    url = postgres.url_of(directory.name)
    program = [str(checkout.resolve() / ".venv/bin/python"), *COMMAND[1:]]
    values = environment(X07_REGISTRY_DATABASE_URL=url, X07_REGISTRY_DATA_DIR=str(directory / "tree"))
    migrating = await asyncio.create_subprocess_exec(*program, "migrate", cwd=checkout, env=values)
    if status := await migrating.wait():
        raise RuntimeError(f"migrate of {checkout} ended with {status}")
    connection = await asyncpg.connect(url)
    await fill(connection, package_names(size))
    await connection.close()
    return _serving(checkout, program, values, directory)


@contextmanager
def _serving(
    checkout: Path, program: Sequence[str], values: dict[str, str], directory: Path
) -> Iterator[Side]:
    """The write API of a checkout while the block runs."""
    address = f"127.0.0.1:{free_port()}"
    command = [*program, "serve", "write", "--bind", address]
    with (directory / "log").open("wb") as log:
        process = subprocess.Popen(command, cwd=checkout, stdout=log, stderr=log, env=values)
    try:
        answering(address, "/healthz", process).close()
        yield Side(str(checkout), address, process)
    finally:
        stop(process)


def _run(sides: Sequence[Side], directory: Path) -> None:
    for number in range(ROUNDS):
        for case in CASES:
            for side in sides if number % 2 else reversed(sides):
                run = wrk(side.address, side.process, one_request(case.path), directory, seconds=SECONDS)
                side.runs.setdefault(case, []).append(run)


def _print(size: int, sides: Sequence[Side], checkouts: Sequence[Path]) -> None:
    print_table(
        f"searches among {size:,} packages, {CONNECTIONS} connections",
        f"search_rates {' '.join(map(str, checkouts))}",
        ["query", "checkout", "a second", "HTTP CPU us", "p50 ms", "p99 ms", "late"],
        [[case.label, side.name, *side.row(case)] for case in CASES for side in sides],
        [
            "late: answers after more than 2 s, or errors, of all rounds",
            f"medians of {ROUNDS} alternating rounds of {SECONDS:.0f} s; wrk on one core, which it shares",
            "HTTP CPU: of the write API's processes for each search, without Postgres",
        ],
    )


if __name__ == "__main__":
    main([Path(text) for text in sys.argv[1:]])
