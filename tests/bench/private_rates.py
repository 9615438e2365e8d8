"""Rate of reads with a token over the network in a private registry, beside a public one.

Each server has a process of its own, on one core; wrk has the other. They take turns, so that other work on
the machine slows both.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import subprocess
import tempfile
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from shared.storage.filesystem import FileSystemStorage
from tests.bench.load import CLIENT_HEADERS, SERVER_CORE, Load, on_core, one_request, require_wrk, wrk
from tests.bench.private_reads import KEY, TOKEN, fill
from tests.deploy.processes import COMMAND, environment, until
from tests.edge.nginx import free_port

ROUNDS, SECONDS = 10, 3.0
AUTHORIZATION = {"Authorization": f"Bearer {TOKEN}"}


@contextmanager
def reader(root: Path, reads: str) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """A read server over a directory. Yields its HOST:PORT and its process."""
    address = f"127.0.0.1:{free_port()}"
    settings = {"STORAGE": "fs", "DATA_DIR": str(root), "BIND": address, "READS": reads, "PAGES": "off"}
    settings["REDIS_URL"] = "redis://127.0.0.1:9"
    variables = environment(**{f"X07_REGISTRY_{name}": value for name, value in settings.items()})
    with on_core(SERVER_CORE):
        process = subprocess.Popen(
            [*COMMAND, "serve", "read"], env=variables, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
    try:
        until(lambda: _answers(address))
        yield address, process
    finally:
        process.terminate()
        process.wait()


def _answers(address: str) -> bool:
    request = urllib.request.Request(f"http://{address}/{KEY}", headers=AUTHORIZATION)
    try:
        with urllib.request.urlopen(request) as answer:  # noqa: S310 - ours
            return bool(answer.status == 200)
    except OSError:
        return False


def measure(directory: Path) -> None:
    """Print the rates, and the processor time of a request, of both in turn."""
    asyncio.run(_filled(directory / "tree"))
    requests = one_request(f"/{KEY}", {**CLIENT_HEADERS, **AUTHORIZATION})
    loads: dict[str, list[Load]] = {"public": [], "token": []}
    with reader(directory / "tree", "public") as public, reader(directory / "tree", "token") as private:
        sides = {"public": public, "token": private}
        for number in range(2 * ROUNDS):
            reads = list(sides)[(number + number // 2) % 2]
            load = wrk(*sides[reads], requests, directory, seconds=SECONDS)
            assert not load.errors
            loads[reads].append(load)
    rates = {reads: statistics.median(load.per_second for load in some) for reads, some in loads.items()}
    costs = {reads: statistics.median(load.cpu_us for load in some) for reads, some in loads.items()}
    print(f"load {os.getloadavg()[0]:.0f}; {ROUNDS} runs of {SECONDS:.0f} s each, medians")
    print(f"requests/s: public {rates['public']:,.0f}; private {rates['token']:,.0f}")
    print(f"processor time of a request: public {costs['public']:.1f} us; private {costs['token']:.1f} us")
    print(f"{costs['public'] / costs['token']:.3f} of the public rate by processor time")


async def _filled(root: Path) -> None:
    storage = FileSystemStorage(root)
    await fill(storage)
    await storage.close()


def main() -> None:
    """Measure in a fresh folder."""
    require_wrk()
    with tempfile.TemporaryDirectory() as directory:
        measure(Path(directory))


if __name__ == "__main__":
    main()
