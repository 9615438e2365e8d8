"""Times of good publishes and reads, with and without a bad publisher that keeps four connections busy."""

from __future__ import annotations

import itertools
import multiprocessing
import subprocess
import tempfile
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path

from tests.archives import build_archive, hello_manifest, hello_module, json_bytes
from tests.bench.measure import Client, Times, archive_of, better, print_table, timed
from tests.deploy.processes import COMMAND, Up, environment

SPAWN = multiprocessing.get_context("spawn")
GOOD, ROUNDS, WARM_UP = 60, 2, 10
BAD_CONNECTIONS = 4
AIM = 2.0


def main() -> None:
    """Print the times of good publishes and reads beside each other, alone and with the bad publisher."""
    with tempfile.TemporaryDirectory(prefix="x07-bench-") as directory:
        up = Up(Path(directory) / "registry")
        sides = [
            Side("alone", None),
            Side("beside heavy archives", heavy_archive()),
            Side("beside a flood of 4 MiB", heavy_archive()[:-1]),
            Side("beside a flood of 24 KB", archive_of("small")[:-1]),
        ]
        try:
            bench = _Bench(up)
            bench.publishes("warm-up", WARM_UP)
            for _ in range(ROUNDS):
                for side in sides:
                    side.rounds.append(bench.beside(side))
        finally:
            up.stop()
    notes = [
        "heavy archives: 4 MiB that take some seconds of processor time to check",
        "floods: archives of this size that are refused as soon as they are there",
        f"each by {BAD_CONNECTIONS} connections of one token, in a process of its own, as fast as answered",
        *(_verdict(side, sides[0]) for side in sides[1:]),
        f"the better of {ROUNDS} alternating rounds of {GOOD} publishes and as many reads, by median",
    ]
    columns = ["", "publish p50 ms", "p95 ms", "read p50 ms", "p95 ms"]
    print_table("Good publishes of 24 KB, one bad publisher", "hostile", columns, map(_row, sides), notes)


@dataclass(frozen=True, slots=True)
class Side:
    """One side. It has the bad publisher's archive (or None), the times of each round, and its answers."""

    name: str
    archive: bytes | None
    rounds: list[tuple[Times, Times]] = field(default_factory=list)
    answers: Counter[str] = field(default_factory=Counter)

    @property
    def publishes(self) -> Times:
        """Good publishes."""
        return better(publishes for publishes, _ in self.rounds)

    @property
    def reads(self) -> Times:
        """Good reads."""
        return better(reads for _, reads in self.rounds)


def _row(side: Side) -> list[str]:
    times = (side.publishes.p50_ms, side.publishes.p95_ms, side.reads.p50_ms, side.reads.p95_ms)
    return [side.name, *(f"{figure:.1f}" for figure in times)]


def _verdict(side: Side, alone: Side) -> str:
    factor = side.publishes.p50_ms / alone.publishes.p50_ms
    return (
        f"{side.name}, aim: a good publish's median below {AIM:.0f} times that alone: "
        f"{'met' if factor < AIM else 'MISSED'}, {factor:.2f} times; answered: {dict(side.answers)}"
    )


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
        self._numbers = itertools.count()
        self._bad = {"authorization": f"Bearer {_new_token(up, 'mallory')}"}

    def measured(self, prefix: str) -> tuple[Times, Times]:
        """Times of publishes, and then of reads of the published packages."""
        publishes = self.publishes(prefix, GOOD)
        client = Client(self._address)
        paths = [f"/v1/packages/{prefix}-{number}" for number in range(GOOD)]
        reads = timed([lambda path=path: client.require("GET", path) for path in paths])  # type: ignore[misc]
        client.close()
        return publishes, reads

    def beside(self, side: Side) -> tuple[Times, Times]:
        """The measurements of a round."""
        prefix = f"round-{next(self._numbers)}"
        if side.archive is None:
            return self.measured(prefix)
        with self.bad_publisher(side.archive, side.answers):
            return self.measured(prefix)

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
    def bad_publisher(self, archive: bytes, answers: Counter[str]) -> Iterator[None]:
        """Keep connections busy with an archive meanwhile. answers: counts of statuses are added to it.

        In a process of its own, because a shared interpreter lock would distort the figures.
        """
        ours, its = SPAWN.Pipe()
        process = SPAWN.Process(target=post_until_told, args=(self._address, self._bad, archive, its))
        process.start()
        ours.recv()
        try:
            yield
        finally:
            ours.send(None)
            answers.update(ours.recv())
            process.join()


def post_until_told(address: str, headers: dict[str, str], archive: bytes, parent: Connection) -> None:
    """Post an archive over BAD_CONNECTIONS from one message to the next; then send the statuses."""
    answers: Counter[str] = Counter()

    def post() -> None:
        client = Client(address)
        while not parent.poll():
            status, _, _ = client.call("POST", "/v1/packages/publish", archive, headers)
            answers[str(status)] += 1
        client.close()

    with ThreadPoolExecutor(BAD_CONNECTIONS) as threads:
        posts = [threads.submit(post) for _ in range(BAD_CONNECTIONS)]
        parent.send(None)
        for posted in posts:
            posted.result()
    parent.send(answers)


def _new_token(up: Up, handle: str) -> str:
    """A token of a new user, created by the command line."""
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
