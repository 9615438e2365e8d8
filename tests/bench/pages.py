"""Package pages, owners and advisories at 32 connections; beside another checkout, in alternating runs.

`python -m tests.bench pages` measures this program. `python -m tests.bench.pages CHECKOUT` also measures the
version in that folder, which has a .venv of its own.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from tests.bench.load import (
    CLIENT_CORE,
    CONNECTIONS,
    SERVER_CORE,
    Load,
    on_core,
    one_request,
    require_wrk,
    wrk,
)
from tests.bench.measure import Client, archive_of, print_table
from tests.deploy.processes import Up

NAME, VERSIONS, ROUNDS, SECONDS = "paged", 20, 3, 4.0
ROUTES = (
    f"/v1/packages/{NAME}",
    f"/v1/packages/{NAME}/owners",
    f"/v1/packages/{NAME}/0.0.1/advisories",
)


def main(arguments: Sequence[str] = ()) -> None:
    """Measure every route in turn, and print the best run of each."""
    require_wrk()
    checkouts: list[Path | None] = [None, *map(Path, arguments)]
    loads: dict[tuple[str, Path | None], list[Load]] = {}
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="x07-pages-")))
        ups = {checkout: started(stack, directory, checkout) for checkout in checkouts}
        for _ in range(ROUNDS):
            for route in ROUTES:
                for checkout, up in ups.items():
                    address = up.url.removeprefix("http://")
                    load = wrk(address, up.process, one_request(route), directory, seconds=SECONDS)
                    loads.setdefault((route, checkout), []).append(load)
    print_table(
        f"Package pages, {CONNECTIONS} connections, best of {ROUNDS} runs of {SECONDS:.0f} s",
        "pages",
        ("route", "of", "a second", "p50", "p99", "errors"),
        [_row(route, checkout, runs) for (route, checkout), runs in loads.items()],
        [f"the package has {VERSIONS} versions and no advisory; the registry is `up`, on one core"],
    )


def started(stack: ExitStack, directory: Path, checkout: Path | None) -> Up:
    """A whole registry with one package."""
    with on_core(SERVER_CORE if CLIENT_CORE else CLIENT_CORE):
        up = Up(directory / (checkout.name if checkout else "this"), checkout=checkout)
    stack.callback(up.stop)
    client, headers = Client(up.url.removeprefix("http://")), {"authorization": f"Bearer {up.token}"}
    for number in range(VERSIONS):
        client.require("POST", "/v1/packages/publish", archive_of(NAME, f"0.0.{number}"), headers)
    client.close()
    return up


def _row(route: str, checkout: Path | None, runs: Sequence[Load]) -> list[str]:
    best = max(runs, key=lambda load: load.per_second)
    of = checkout.name if checkout else "this"
    shown = [f"{best.per_second:,.0f}", f"{best.p50_us / 1000:.2f} ms", f"{best.p99_us / 1000:.2f} ms"]
    return [route, of, *shown, str(best.errors)]


if __name__ == "__main__":
    main(sys.argv[1:])
