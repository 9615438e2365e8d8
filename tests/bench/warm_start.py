"""The time from `x07-registry up` to its first answer on an existing directory.

Run: .venv/bin/python -m tests.bench.warm_start
"""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from pathlib import Path

from tests.deploy.processes import Up

ROUNDS = 5
AIM_S = 5.0


def main() -> None:
    """Print a table: cold once, warm after a stop, warm after kill -9 of the command."""
    with tempfile.TemporaryDirectory(prefix="x07-bench-") as directory:
        data_dir = Path(directory) / "data"
        cold = _first_answer(data_dir, kill=False)
        stopped = [_first_answer(data_dir, kill=False) for _ in range(ROUNDS)]
        _first_answer(data_dir, kill=True)
        killed = [_first_answer(data_dir, kill=True) for _ in range(ROUNDS)]
        _first_answer(data_dir, kill=False)
    print(
        f"seconds from the command to the first answer, {os.cpu_count()} CPUs; aim: warm at most {AIM_S:.0f}"
    )
    print(f"{'start':<22}{'median':>8}{'worst':>8}")
    for name, seconds in (("cold", [cold]), ("warm, after a stop", stopped), ("warm, after kill -9", killed)):
        print(f"{name:<22}{statistics.median(seconds):>8.2f}{max(seconds):>8.2f}")


def _first_answer(data_dir: Path, *, kill: bool) -> float:
    """Start, wait for an answer, and end. Returns the seconds to the answer."""
    began = time.monotonic()
    up = Up(data_dir)
    up.get("/index/config.json")
    seconds = time.monotonic() - began
    if kill:
        up.process.kill()
        up.process.wait()
    else:
        up.stop()
    return seconds


if __name__ == "__main__":
    main()
