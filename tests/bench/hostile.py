"""How long good publishes and reads take while one bad publisher keeps four connections busy, and without."""

from __future__ import annotations

import itertools
import subprocess
import tempfile
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from tests.archives import build_archive, hello_manifest, hello_module, json_bytes
from tests.bench.measure import Client, Times, archive_of, better, print_table, timed
from tests.deploy.processes import COMMAND, Up, environment

GOOD, ROUNDS, WARM_UP = 60, 2, 10
BAD_CONNECTIONS = 4
AIM = 2.0


def main() -> None:
    """Print the times of good publishes and of reads beside each other, alone and with the bad publisher."""
    with tempfile.TemporaryDirectory(prefix="x07-bench-") as directory:
        up = Up(Path(directory) / "registry")
        try:
            bench = _Bench(up)
            bench.publishes("warm-up", WARM_UP)
            alone = [bench.measured(f"alone-{number}") for number in range(ROUNDS)]
            with bench.bad_publisher(heavy_archive()) as heavy_answers:
                beside = [bench.measured(f"beside-{number}") for number in range(ROUNDS)]
            with bench.bad_publisher(heavy_archive()[:-1]) as flood_answers:
                flooded = [bench.measured(f"flooded-{number}") for number in range(ROUNDS)]
        finally:
            up.stop()
    rows = [_row("alone", alone), _row("beside heavy archives", beside), _row("beside a flood", flooded)]
    factor = better(p for p, _ in beside).p50_ms / better(p for p, _ in alone).p50_ms
    verdict = "met" if factor < AIM else "MISSED"
    notes = [
        f"heavy: {BAD_CONNECTIONS} connections of one token post 4 MiB that take some seconds of processor "
        f"time to check; answered: {dict(heavy_answers)}",
        f"flood: they post 4 MiB that are refused as soon as they are there; answered: {dict(flood_answers)}",
        f"aim: a good publish's median beside heavy archives below {AIM:.0f} times that alone: {verdict}, "
        f"{factor:.2f} times",
        f"the better of {ROUNDS} rounds of {GOOD} publishes and as many reads by one publisher, by median",
    ]
    columns = ["", "publish p50 ms", "p95 ms", "read p50 ms", "p95 ms"]
    print_table("Good publishes of 24 KB, one bad publisher", "hostile", columns, rows, notes)


def _row(label: str, rounds: list[tuple[Times, Times]]) -> list[str]:
    publishes, reads = (better(times) for times in zip(*rounds, strict=True))
    figures = (publishes.p50_ms, publishes.p95_ms, reads.p50_ms, reads.p95_ms)
    return [label, *(f"{figure:.1f}" for figure in figures)]


def heavy_archive() -> bytes:
    """A well-formed archive with a module of nearly 4 MiB, all of it expressions."""
    module = hello_module()
    module["decls"][1]["body"] = ["begin", *itertools.repeat(["+", 1, 2], 400_000)]
    return build_archive(hello_manifest("bad"), {"modules/greeting.x07.json": json_bytes(module)})


class _Bench:
    """A running registry with a good publisher, who is the admin, and a bad one."""

    def __init__(self, up: Up) -> None:
        self._address = up.url.removeprefix("http://")
        self._good = {"authorization": f"Bearer {up.token}"}
        self._bad = {"authorization": f"Bearer {_new_token(up, 'mallory')}"}

    def measured(self, prefix: str) -> tuple[Times, Times]:
        """Times of publishes, then of reads of what was published."""
        publishes = self.publishes(prefix, GOOD)
        client = Client(self._address)
        paths = [f"/v1/packages/{prefix}-{number}" for number in range(GOOD)]
        reads = timed([lambda path=path: client.require("GET", path) for path in paths])  # type: ignore[misc]
        client.close()
        return publishes, reads

    def publishes(self, prefix: str, count: int) -> Times:
        """Times of publishes of new packages, one after another."""
        client = Client(self._address)
        archives = [archive_of(f"{prefix}-{number}") for number in range(count)]
        times = timed(
            [
                lambda archive=archive: client.require(  # type: ignore[misc]
                    "POST", "/v1/packages/publish", archive, self._good
                )
                for archive in archives
            ]
        )
        client.close()
        return times

    @contextmanager
    def bad_publisher(self, archive: bytes) -> Iterator[Counter[str]]:
        """Keeps connections busy with an archive meanwhile; what was answered, by status."""
        answers: Counter[str] = Counter()
        ended = threading.Event()

        def post() -> None:
            client = Client(self._address)
            while not ended.is_set():
                status, _, _ = client.call("POST", "/v1/packages/publish", archive, self._bad)
                answers[str(status)] += 1
            client.close()

        with ThreadPoolExecutor(BAD_CONNECTIONS) as threads:
            posts = [threads.submit(post) for _ in range(BAD_CONNECTIONS)]
            try:
                yield answers
            finally:
                ended.set()
                for posted in posts:
                    posted.result()


def _new_token(up: Up, handle: str) -> str:
    """A token of a new user, made by the command line."""
    url = f"postgresql://postgres@/postgres?host={(up.data_dir / 'run').resolve()}&port=5432"
    made = subprocess.run(
        [*COMMAND, "token", "create", "--handle", handle, "--scopes", "publish,admin"],
        env=environment(X07_REGISTRY_DATABASE_URL=url),
        capture_output=True,
        text=True,
        check=True,
    )
    return made.stdout.strip()


if __name__ == "__main__":
    main()
