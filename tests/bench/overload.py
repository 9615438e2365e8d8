"""Publishes at four times the machine's capacity, and reads meanwhile: who is served, and how soon."""

from __future__ import annotations

import asyncio
import os
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import asyncpg

from api.write.endpoint import Scope
from deploy.bootstrap import create_token
from shared.settings import Settings
from tests.bench.measure import Client, Times, archive_of, print_table
from tests.bench.pressure import Answers, Publishing, Reads, publish, reading
from tests.bench.publish import database_url, execute
from tests.deploy.processes import COMMAND, Up, descendants, until

USERS = 8
AT_CAPACITY = 16
# More connections than the server's 64 places, so that some wait whatever the server does.
OVERLOADED = 256
LOAD_PROCESSES = 2
FACTOR = 4
WARM_S, QUIET_S, SECONDS = 5.0, 5.0, 12.0
READ_PAUSE_S = 0.01
NICENESS = 10
PATH = "/index/re/ad/read-me"
AIM_P99_MS = 5000.0
AIM_MIB = 64.0
AIM_READ_P99_MS = 50.0


@dataclass(frozen=True, slots=True)
class Phase:
    """The measurements of one row. publishes: None if there were none."""

    name: str
    publishes: Answers | None
    reads: Reads


def main() -> None:
    """Print the tables: reads alone, publishers at capacity, and four times as many publishes."""
    with tempfile.TemporaryDirectory(prefix="x07-bench-") as directory:
        up = Up(Path(directory) / "registry")
        try:
            with _read_tier(up) as read_address:
                _measure(up, read_address)
        finally:
            up.stop()


def _measure(up: Up, read_address: str) -> None:
    bench = _Bench(up, read_address)
    bench.publishes(AT_CAPACITY, None, WARM_S)
    with bench.reading() as quiet:
        time.sleep(QUIET_S)
    phases = [Phase("no publishes", None, quiet), bench.measured(f"{AT_CAPACITY} publishers", AT_CAPACITY)]
    taken = phases[1].publishes
    assert taken is not None
    rate = FACTOR * taken.per_second(200)
    before = bench.memory_mib("VmRSS")
    bench.reset_peak()
    phases.append(bench.measured(f"{FACTOR} times that", OVERLOADED, rate))
    growth = bench.memory_mib("VmHWM") - before
    bench.nice(NICENESS)
    phases.append(bench.measured(f"{FACTOR} times, nice {NICENESS}", OVERLOADED, rate))
    lost = bench.lost([name for phase in phases if phase.publishes for name in phase.publishes.names])
    _print_publishes(phases, rate, growth, lost)
    _print_reads(phases, up.url.removeprefix("http://"), read_address)


@contextmanager
def _read_tier(up: Up) -> Iterator[str]:
    """Start a read process beside `up`, over the same files and queue. Returns its address."""
    pairs = (pair.partition("=") for pair in Path(f"/proc/{_server(up)}/environ").read_text().split("\0"))
    environment = {name: value for name, _, value in pairs if name}
    log = up.data_dir.with_suffix(".read")
    with log.open("wb") as output:
        command = [*COMMAND, "serve", "read", "--bind", "127.0.0.1:0"]
        process = subprocess.Popen(command, env=environment, stdout=output, stderr=subprocess.STDOUT)
    try:
        until(lambda: "listening " in log.read_text())
        yield log.read_text().partition("listening ")[2].split()[0]
    finally:
        process.terminate()
        process.wait()


def _server(up: Up) -> int:
    pid = up.pid_of(" serve ")
    assert pid is not None
    return pid


class _Bench:
    """Both tiers, with publishers."""

    def __init__(self, up: Up, read_address: str) -> None:
        self._up = up
        self._address = up.url.removeprefix("http://")
        self._addresses = [read_address, self._address]
        self._database = database_url(up, "postgres")
        self._runs = count(1)
        settings = Settings(database_url=self._database)
        self._tokens = [
            asyncio.run(create_token(settings, f"user-{number}", [Scope.PUBLISH], "bench"))
            for number in range(USERS)
        ]
        asyncio.run(execute(self._database, "UPDATE users SET github_email_verified = true"))
        self._status = Path(f"/proc/{_server(up)}/status")
        client = Client(self._address)
        headers = {"authorization": f"Bearer {self._tokens[0]}"}
        client.require("POST", "/v1/packages/publish", archive_of("read-me"), headers)
        until(lambda: client.call("GET", PATH)[0] == 200)
        client.close()

    def measured(self, name: str, connections: int, rate: float | None = None) -> Phase:
        """Measure publishes, and reads beside them; then wait until everything is published."""
        with self.reading() as reads:
            answers = self.publishes(connections, rate, SECONDS)
        until(lambda: not asyncio.run(_fetch(self._database, DIRTY)), 60)
        return Phase(name, answers, reads)

    def reading(self) -> Any:
        """Read one index file from both tiers meanwhile."""
        return reading(self._addresses, PATH, READ_PAUSE_S)

    def publishes(self, connections: int, rate: float | None, seconds: float) -> Answers:
        """Publish for some seconds. rate: per second, all together; None: as fast as possible."""
        return publish(
            [
                Publishing(
                    self._address,
                    self._tokens,
                    connections // LOAD_PROCESSES,
                    seconds,
                    rate and rate / LOAD_PROCESSES,
                    next(self._runs),
                )
                for _ in range(LOAD_PROCESSES)
            ]
        )

    def nice(self, niceness: int) -> None:
        """Lower the priority of everything but the read tier: each thread of each process of `up`."""
        for pid in descendants(self._up.process.pid):
            with suppress(FileNotFoundError, ProcessLookupError):  # a process of Postgres that is just ending
                for thread in Path(f"/proc/{pid}/task").iterdir():
                    os.setpriority(os.PRIO_PROCESS, int(thread.name), niceness)

    def memory_mib(self, name: str) -> float:
        """A field of the HTTP process's status, in MiB."""
        lines = self._status.read_text().splitlines()
        return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(f"{name}:"))

    def reset_peak(self) -> None:
        """Reset VmHWM."""
        self._status.with_name("clear_refs").write_text("5")

    def lost(self, names: list[str]) -> int:
        """The number of accepted publishes that are not published."""
        return len(names) - int(asyncio.run(_fetch(self._database, PUBLISHED, names)))


DIRTY = "SELECT count(*) FROM index_state WHERE published_generation < generation"
PUBLISHED = """
SELECT count(*) FROM packages p JOIN index_state s ON s.package_id = p.id
WHERE p.name = ANY($1::text[]) AND s.published_generation >= s.generation
"""


async def _fetch(url: str, sql: str, *values: Any) -> Any:
    connection: Any = await asyncpg.connect(url)
    try:
        return await connection.fetchval(sql, *values)
    finally:
        await connection.close()


def _print_publishes(phases: list[Phase], rate: float, growth_mib: float, lost: int) -> None:
    rows = []
    for phase in phases:
        if (answers := phase.publishes) is None:
            continue
        accepted = Times(answers.accepted_s, answers.seconds)
        known = answers.statuses[200] + answers.statuses[503]
        rows.append(
            [
                phase.name,
                f"{answers.per_second():.0f}",
                f"{answers.per_second(200):.0f}",
                f"{answers.per_second(503):.0f}",
                f"{Times(answers.refused_s, answers.seconds).p50_ms:.0f}" if answers.refused_s else "",
                str(answers.statuses.total() - known),
                str(answers.unsent),
                f"{accepted.p50_ms:.0f}",
                f"{accepted.percentile_ms(99):.0f}",
                f"{max(accepted.each_s) * 1000:.0f}",
            ]
        )
    over = phases[2].publishes
    assert over is not None
    p99, reached = Times(over.accepted_s, over.seconds).percentile_ms(99), over.per_second() / rate * FACTOR
    notes = [
        f"{FACTOR} times: {rate:.0f} a second, whatever is answered, by {OVERLOADED} connections of {USERS} "
        f"users in {LOAD_PROCESSES} processes; reached: {reached:.1f} times",
        "after: median of a refusal; unsent: due while every connection waited for an answer",
        f"accepted and not published: {lost}; aim 0: {_verdict(lost == 0)}",
        f"p99 of accepted ones at {FACTOR} times: {p99:.0f} ms; aim {AIM_P99_MS:.0f}: "
        f"{_verdict(p99 < AIM_P99_MS)}",
        f"growth of the HTTP process (VmHWM): {growth_mib:.1f} MiB; aim {AIM_MIB:.0f}: "
        f"{_verdict(growth_mib < AIM_MIB)}",
        f"nice {NICENESS}: all processes but the read tier, as an operator may set it",
    ]
    columns = [
        "",
        "sent a s",
        "200 a s",
        "503 a s",
        "after ms",
        "else",
        "unsent",
        "p50 ms",
        "p99 ms",
        "worst",
    ]
    print_table(
        f"Publishes over what the machine takes, {SECONDS:.0f} s each", "overload", columns, rows, notes
    )


def _print_reads(phases: list[Phase], up_address: str, read_address: str) -> None:
    rows = []
    for phase in phases:
        figures = [phase.reads.each_s[read_address], phase.reads.each_s[up_address], phase.reads.late_s]
        times = [Times(each_s, SECONDS) for each_s in figures]
        each = [f"{figure:.1f}" for time_ in times for figure in (time_.p50_ms, time_.percentile_ms(99))]
        rows.append([phase.name, *each, str(phase.reads.failed)])
    worst = max(Times(phase.reads.each_s[read_address], SECONDS).percentile_ms(99) for phase in phases[2:])
    notes = [
        "read tier: `serve read`, a process of its own; up: the process that takes the publishes too",
        f"of one index file, by a process that does nothing else, every {READ_PAUSE_S * 1000:.0f} ms; reader "
        "late: how late it woke up by itself, since all parts, the load and it share the cores",
        f"p99 of the read tier at {FACTOR} times: {worst:.1f} ms at worst; aim {AIM_READ_P99_MS:.0f}: "
        f"{_verdict(worst < AIM_READ_P99_MS)}",
    ]
    columns = [
        "",
        "read tier p50 ms",
        "p99 ms",
        "up p50 ms",
        "p99 ms",
        "reader late p50 ms",
        "p99 ms",
        "failed",
    ]
    print_table("Reads beside them", "overload", columns, rows, notes)


def _verdict(is_met: bool) -> str:
    return "met" if is_met else "MISSED"


if __name__ == "__main__":
    main()
