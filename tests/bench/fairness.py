"""How evenly 64 clients are served: p50 and p99 of every kind of route that asks Postgres.

`python -m tests.bench fairness` measures this program. `python -m tests.bench.fairness CHECKOUT` measures the
version in that folder as well, which has a .venv of its own, in alternating runs.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from tests.bench.load import Load, one_request, require_wrk, wrk
from tests.bench.measure import print_table
from tests.bench.pages import NAME, started
from tests.deploy.processes import Up

CONNECTIONS, ROUNDS, SECONDS, MAX_RATIO = 64, 3, 4.0, 4.0
ROUTES = (
    "/v1/search?q=pag",
    "/v1/archetypes",
    f"/v1/packages/{NAME}/dependents",
    "/v1/tokens",
    "/v1/account",
)


def main(arguments: Sequence[str] = ()) -> None:
    """Measure every route in turn, and print the median run of each."""
    require_wrk()
    checkouts: list[Path | None] = [None, *map(Path, arguments)]
    loads: dict[tuple[str, Path | None], list[Load]] = {}
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="x07-fair-")))
        ups = {checkout: started(stack, directory, checkout) for checkout in checkouts}
        for _ in range(ROUNDS):
            for route in ROUTES:
                for checkout, up in ups.items():
                    loads.setdefault((route, checkout), []).append(_load(up, route, directory))
    print_table(
        f"Fairness, {CONNECTIONS} connections, median of {ROUNDS} runs of {SECONDS:.0f} s",
        "fairness",
        ("route", "of", "a second", "p50", "p99", "p99 / p50", "errors"),
        [_row(route, checkout, runs) for (route, checkout), runs in loads.items()],
        [f"aim: p99 is at most {MAX_RATIO:g} times p50; the registry is `up`, on one core"],
    )


def _load(up: Up, route: str, directory: Path) -> Load:
    headers = {"Authorization": f"Bearer {up.token}"}
    address = up.url.removeprefix("http://")
    request = one_request(route, headers)
    return wrk(address, up.process, request, directory, seconds=SECONDS, connections=CONNECTIONS)


def _row(route: str, checkout: Path | None, runs: Sequence[Load]) -> list[str]:
    middle = sorted(runs, key=lambda load: load.p99_us / load.p50_us)[len(runs) // 2]
    shown = [f"{middle.per_second:,.0f}", f"{middle.p50_us / 1000:.1f} ms", f"{middle.p99_us / 1000:.1f} ms"]
    ratio = f"{middle.p99_us / middle.p50_us:.1f}"
    return [route, checkout.name if checkout else "this", *shown, ratio, str(middle.errors)]


if __name__ == "__main__":
    main(sys.argv[1:])
