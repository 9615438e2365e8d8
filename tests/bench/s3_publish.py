"""Publishes over S3 whose every answer takes 30 ms: `python -m tests.bench s3_publish`.

`python -m tests.bench.s3_publish CHECKOUT` measures the version in that folder as well, which has a .venv of
its own, in alternating runs.
"""

from __future__ import annotations

import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from tests.bench.checkouts import ROLES, cpu_s
from tests.bench.measure import Times, better, print_table
from tests.bench.publish import Side, publishing_side, run_side
from tests.bench.slow_s3 import SlowS3, slow_s3
from tests.deploy.processes import Up
from tests.seaweedfs import SeaweedFs

DELAY_S = 0.03
ROUNDS = 2
ALONE, PUBLISHERS, EACH = 20, 64, 10
AIM_PER_SECOND, AIM_ROUNDS = 300, 3


class Measured:
    """The rounds of one checkout."""

    def __init__(self, up: Up, s3: SlowS3) -> None:
        self.side: Side = publishing_side(up, PUBLISHERS)
        self._up = up
        self._s3 = s3
        self._quick: list[Times] = []
        self._alone: list[Times] = []
        self._at_once: list[Times] = []
        self._cpu_ms: list[Counter[str]] = []
        self._requests: list[str] = []

    def measure(self) -> None:
        """Take one round."""
        self._s3.hold_answers_for(0)
        self._quick.append(run_side(self.side, 1, ALONE))
        self._s3.hold_answers_for(DELAY_S)
        self._alone.append(run_side(self.side, 1, ALONE))
        run_side(self.side, PUBLISHERS, 2)
        before = cpu_s(self._up)
        self._s3.take_requests()
        self._at_once.append(times := run_side(self.side, PUBLISHERS, EACH, warm_up=0))
        self._requests = _kinds(self._s3.take_requests(), len(times.each_s))
        used = cpu_s(self._up)
        used.subtract(before)
        self._cpu_ms.append(Counter({role: s / len(times.each_s) * 1000 for role, s in used.items()}))

    def row(self) -> list[str]:
        """The better rounds, and the requests in a row: how much longer a publish takes with the delay."""
        quick, alone = better(self._quick), better(self._alone)
        in_a_row = (alone.p50_ms - quick.p50_ms) / (DELAY_S * 1000)
        rate = max(times.per_second for times in self._at_once)
        cpu = min(self._cpu_ms, key=lambda each: sum(each.values()))
        roles = [f"{cpu[role]:.1f}" for role in ROLES]
        return [
            f"{quick.p50_ms:.1f}",
            f"{alone.p50_ms:.1f}",
            f"{in_a_row:.1f}",
            f"{rate:.0f}",
            f"{better(self._at_once).p50_ms:.0f}",
            *roles,
        ]

    @property
    def requests(self) -> str:
        """What a publish asks of S3, the last round's average."""
        return ", ".join(self._requests)


def _kinds(requests: Sequence[tuple[str, str]], publishes: int) -> list[str]:
    """How many requests a publish makes, by method and by the first folder of the key."""
    kinds = Counter(f"{method} {path.split('/')[2]}" for method, path in requests if path.count("/") > 1)
    return [f"{count / publishes:.2f} {kind}" for kind, count in kinds.most_common()]


def main(arguments: Sequence[str] = ()) -> None:
    """Print the table. Rounds alternate between the checkouts."""
    checkouts: list[Path | None] = [*map(Path, arguments), None]
    with tempfile.TemporaryDirectory(prefix="x07-s3-") as text, ExitStack() as stack:
        found: dict[str, Measured] = {}
        for place, checkout in enumerate(checkouts):
            directory = Path(text, str(place))
            (directory / "s3").mkdir(parents=True)
            weed = SeaweedFs(directory / "s3")
            weed.start()
            stack.callback(weed.stop)
            s3 = stack.enter_context(slow_s3(weed.endpoint))
            values = {f"X07_REGISTRY_{name.upper()}": str(value) for name, value in weed.settings.items()}
            values |= {"X07_REGISTRY_STORAGE": "s3", "X07_REGISTRY_S3_ENDPOINT": s3.endpoint}
            up = Up(directory / "registry", checkout=checkout, **values)
            stack.callback(up.stop)
            found[str(checkout or "this one")] = Measured(up, s3)
        for number in range(ROUNDS):
            for name, measured in found.items():
                print(f"round {number + 1} of {ROUNDS}: {name}", file=sys.stderr, flush=True)
                measured.measure()
    _print(found)


def _print(found: dict[str, Measured]) -> None:
    ms = f"{DELAY_S * 1000:.0f} ms"
    columns = ["", "1: p50, no delay", f"p50, {ms}", "in a row", f"{PUBLISHERS}: a second", "p50", *ROLES]
    notes = [
        f"each answer of S3 takes {ms} more; aim {AIM_PER_SECOND} a second, {AIM_ROUNDS} requests in a row",
        "processor milliseconds of a publish, by process; S3 and the proxy run on the same cores",
        *(f"{name}: {measured.requests}" for name, measured in found.items()),
    ]
    rows = [[name, *measured.row()] for name, measured in found.items()]
    print_table("publishes over S3", "s3_publish", columns, rows, notes)


if __name__ == "__main__":
    main(sys.argv[1:])
