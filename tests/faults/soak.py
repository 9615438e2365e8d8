"""`make soak`: repeats the fault tests, each round with another seed; writes figures to docs/reliability.md.

A round is a pytest session over tests/faults with all choices, where `make test` uses a random few. The tests
count attempts and outcomes, and docs/reliability.md gets the totals. For a failed round, the command that
repeats it is printed.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from tests.faults.tally import REPORT, Tally

PAGE = Path(__file__).parent.parent.parent / "docs" / "reliability.md"
BEGIN, END = "<!-- made by `make soak` -->", "<!-- end -->"
TEST_TIMEOUT_S = 900
PROCESSES = "2"
COLUMNS = ("fault", "tried", "faults", "acknowledged", "lost", "stuck", "recovery, median", "recovery, worst")


def main() -> None:
    """Run rounds until the time is over, and write the page. Exits with 1 if a round failed."""
    parser = argparse.ArgumentParser(prog="make soak")
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument(
        "--seed", type=int, default=None, help="seed of the first round; each following round adds 1"
    )
    arguments = parser.parse_args()
    seed = arguments.seed if arguments.seed is not None else random.SystemRandom().randrange(1_000_000)
    begun, failed, tallies = time.monotonic(), [], {}
    rounds = 0
    while rounds == 0 or time.monotonic() - begun < 60 * arguments.minutes:
        print(f"round {rounds + 1}, seed {seed + rounds}", flush=True)
        if not run_round(seed + rounds, tallies):
            failed.append(seed + rounds)
        rounds += 1
    minutes = (time.monotonic() - begun) / 60
    made_by = f"make soak MINUTES={arguments.minutes:g} SEED={seed}"
    text = render(list(tallies.values()), made_by=made_by, rounds=rounds, failed=failed, minutes=minutes)
    print(text)
    page = PAGE.read_text()
    before, _, rest = page.partition(BEGIN)
    PAGE.write_text(f"{before}{BEGIN}\n\n{text}\n\n{END}{rest.partition(END)[2]}")
    sys.exit(1 if failed else 0)


def run_round(seed: int, tallies: dict[str, Tally]) -> bool:
    """Run one session and add its figures to the tallies by row. True if every test passed."""
    command = [
        *(sys.executable, "-m", "pytest", "tests/faults", "-q", "-n", PROCESSES, "-p", "no:cacheprovider"),
        *(f"--randomly-seed={seed}", f"--timeout={TEST_TIMEOUT_S}"),
    ]
    with tempfile.TemporaryDirectory(prefix="x07-soak-") as directory:
        report = Path(directory) / "report.ndjson"
        report.touch()
        ended = subprocess.run(command, check=False, env={**os.environ, REPORT: str(report)})
        for line in report.read_text().splitlines():
            tally = Tally(**json.loads(line))
            tallies.setdefault(tally.row, Tally(tally.row)).add(tally)
    if ended.returncode != 0:
        print(f"repeat it with: {REPORT}=/dev/null {' '.join(command)}", flush=True)
    return ended.returncode == 0


def render(
    tallies: Sequence[Tally], *, made_by: str, rounds: int, failed: Sequence[int], minutes: float
) -> str:
    """The table, with machine and date."""
    which = f" (seeds {', '.join(map(str, failed))})" if failed else ""
    lines = [
        f"Measured {datetime.now(UTC):%Y-%m-%d} by `{made_by}` on {machine()},",
        f"in {minutes:.0f} minutes; rounds: {rounds}, failed: {len(failed)}{which}.",
        "",
        f"| {' | '.join(COLUMNS)} |",
        f"| --- {'| ---: ' * (len(COLUMNS) - 1)}|",
    ]
    lines += [row_of(tally) for tally in sorted(tallies, key=lambda tally: tally.row.lower())]
    return "\n".join(lines)


def row_of(tally: Tally) -> str:
    """One line of the table."""
    numbers = (tally.tried, tally.faults, tally.acknowledged, tally.lost, tally.stuck)
    times = ["-", "-"]
    if seconds := tally.recover_s:
        times = [f"{time_s:.2f} s" for time_s in (statistics.median(seconds), max(seconds))]
    figures = [*(f"{number:,}" for number in numbers), *times]
    return f"| {' | '.join([tally.row, *figures])} |"


def machine() -> str:
    """The machine, its load and its Python version."""
    memory_gib = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return (
        f"{os.cpu_count()} cores, {memory_gib:.0f} GiB, {platform.system()} {platform.machine()}, "
        f"Python {platform.python_version()}, load average {os.getloadavg()[2]:.0f}"
    )


if __name__ == "__main__":
    main()
