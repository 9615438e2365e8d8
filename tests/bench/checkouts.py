"""Publishes of several checkouts of this program, alternating: `python -m tests.bench.checkouts DIR DIR …`.

Each checkout runs its own `x07-registry up`, with its own code, over its own data directory. What is compared
is the latency until readers see a publish, the rate, the processor time of every process, and each stage's
time.
"""

from __future__ import annotations

import os
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import takewhile
from pathlib import Path
from statistics import median

from redis import Redis

from tests.bench.measure import Times, print_table
from tests.bench.publish import PUBLISHERS, Side, publishing_side, run_side
from tests.bench.stages import PUBLICATION, STAGES, free_ports, look
from tests.deploy.processes import Up, descendants

ROUNDS = 5
ALONE = 100
EACH = 40
IDLE_S = 10.0
ENOUGH = "bench-idle-over"
# The processes of `up`, by a part of their command line. A process belongs to the first that fits.
ROLES = {
    "checks": "check_process",
    "Postgres": "postgres",
    "Valkey": "valkey",
    "worker": "deploy.cli worker",
    "HTTP": "",
}


@dataclass(frozen=True, slots=True)
class Measured:
    """The rounds of one checkout. cpu_ms: processor time of a publish, by role. stage_ms: means, by stage."""

    times: list[Times] = field(default_factory=list)
    cpu_ms: list[Counter[str]] = field(default_factory=list)
    stage_ms: list[dict[str, float]] = field(default_factory=list)

    @property
    def median(self) -> Times:
        """The round with the median of the rates."""
        return sorted(self.times, key=lambda times: times.per_second)[len(self.times) // 2]

    def row(self) -> list[str]:
        """Medians over the rounds."""
        p50 = sorted(times.p50_ms for times in self.times)[len(self.times) // 2]
        cpu = sorted(self.cpu_ms, key=lambda each: sum(each.values()))[len(self.cpu_ms) // 2]
        roles = [f"{cpu[role]:.2f}" for role in ROLES]
        return [f"{p50:.1f}", f"{self.median.per_second:.0f}", *roles, f"{sum(cpu.values()):.2f}"]

    def stages(self) -> list[str]:
        """The medians of each stage over the rounds."""
        return [f"{median(each[stage] for each in self.stage_ms):.2f}" for stage in (*STAGES, PUBLICATION)]


@dataclass(frozen=True, slots=True)
class Running:
    """A running registry of one checkout. metrics: its first port for metrics."""

    up: Up
    side: Side
    metrics: int


def main(directories: Sequence[Path]) -> None:
    """Print the tables: one publisher, sixteen, and what an idle registry sends to Redis."""
    with tempfile.TemporaryDirectory(prefix="x07-bench-") as text, ExitStack() as stack:
        sides: list[tuple[str, Running]] = []
        for place, checkout in enumerate(directories):
            metrics = free_ports()
            values = {"X07_REGISTRY_METRICS_BIND": f"127.0.0.1:{metrics}"}
            up = Up(Path(text) / str(place), checkout=checkout.resolve(), **values)
            stack.callback(up.stop)
            sides.append((str(checkout), Running(up, publishing_side(up), metrics)))
        alone = {name: Measured() for name, _ in sides}
        at_once = {name: Measured() for name, _ in sides}
        for number in range(ROUNDS):
            print(f"round {number + 1} of {ROUNDS}", file=sys.stderr, flush=True)
            for name, running in sides if number % 2 else reversed(sides):
                _measure(running, 1, ALONE, alone[name])
                _measure(running, PUBLISHERS, EACH, at_once[name])
        idle = {name: _idle_commands(running.up) for name, running in sides}
    for publishers, measured in ((1, alone), (PUBLISHERS, at_once)):
        _print(publishers, measured, idle, directories)


def _print(
    publishers: int, measured: dict[str, Measured], idle: dict[str, float], directories: Sequence[Path]
) -> None:
    columns = ["", "p50 ms", "a second", *ROLES, "CPU ms"]
    rows = [[name, *each.row()] for name, each in measured.items()]
    notes = [
        "processor milliseconds of a publish, by process; medians of alternating rounds",
        *(f"{name}: {rate:.1f} commands a second to Redis while idle" for name, rate in idle.items()),
    ]
    program = f"checkouts {' '.join(map(str, directories))}"
    print_table(f"publishers: {publishers}", program, columns, rows, notes)
    rows = [[name, *each.stages()] for name, each in measured.items()]
    notes = ["mean milliseconds; publication is the worker's part of visible; medians of the rounds"]
    print_table(f"stages, publishers: {publishers}", program, ["", *STAGES, PUBLICATION], rows, notes)


def _measure(running: Running, publishers: int, each: int, into: Measured) -> None:
    run_side(running.side, publishers, 5)
    before, stages = cpu_s(running.up), look(running.metrics)
    into.times.append(times := run_side(running.side, publishers, each, warm_up=0))
    used, later = cpu_s(running.up), look(running.metrics)
    into.stage_ms.append({stage: later.mean_ms(stages, stage) for stage in (*STAGES, PUBLICATION)})
    used.subtract(before)
    count = len(times.each_s)
    into.cpu_ms.append(Counter({role: seconds / count * 1000 for role, seconds in used.items()}))


def cpu_s(up: Up) -> Counter[str]:
    """Processor seconds so far, by role; children that ended are counted with their parents."""
    found: Counter[str] = Counter()
    for pid, command in (descendants(up.process.pid) | {up.process.pid: ""}).items():
        role = next(role for role, part in ROLES.items() if part in command)
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        found[role] += sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")
    return found


def _idle_commands(up: Up) -> float:
    """Commands a second that all processes send to Redis while nobody publishes; a script is one."""
    socket = next((up.data_dir / "run").resolve().glob("*valkey*"))
    with Redis(unix_socket_path=str(socket)) as redis, redis.monitor() as monitor:
        timer = threading.Timer(IDLE_S, lambda: Redis(unix_socket_path=str(socket)).echo(ENOUGH))
        timer.start()
        heard = iter(monitor.listen())
        commands = list(takewhile(lambda told: ENOUGH not in told["command"], heard))
    return len([told for told in commands if told["client_type"] != "lua"]) / IDLE_S


if __name__ == "__main__":
    main([Path(text) for text in sys.argv[1:]])
