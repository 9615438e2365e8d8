"""`make chaos`: publishers and readers work for some minutes while processes and requests fail.

Two writers, two readers and two workers run over S3 behind a proxy that delays, cuts, repeats and loses
requests, or over a directory. If nginx is installed, clients read through it too. Workers and readers are
paused for longer than every timeout, or killed; writers are killed. Postgres connections are ended; Redis is
emptied. An independent judge watches (chaos_judge.py).
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import httpx

from tests.archives import hello_archive
from tests.deploy.forked_commands import Forked, run
from tests.faults.chaos_edge import edge_before
from tests.faults.chaos_judge import Judge, index_path
from tests.faults.chaos_proxy import LATEST_S, treatment_of
from tests.faults.cluster import Cluster, Kind, Process, open_cluster
from tests.faults.promises import DIRTY
from tests.faults.servers import Servers
from tests.faults.soak import machine
from tests.faults.test_late_hands import CUT
from tests.s3_proxy import Pass, S3Proxy
from tests.seaweedfs import SeaweedFs

NAMES: Final = [f"chaos-{number}" for number in range(10)]
PUBLISHERS: Final = 5
# The timeout of every process: Postgres ends a transaction that is idle for twice this long.
VALUES: Final = {
    "database_timeout_seconds": 1.0,
    "s3_timeout_seconds": 0.5,
    "sweep_seconds": 1.0,
    "publish_wait_seconds": 2,
    "read_ttl_seconds": 30,
    "catalog_debounce_seconds": 0.2,
}
LONGEST_PAUSE_S: Final = 8.0
ANSWER_S: Final = 15.0
SETTLE_S: Final = 120.0
DISCONNECTED: Final = "change_listener_disconnected"
# After a loss, a reader subscribes again after half a second, and then confirms everything that it holds.
DEAF_S: Final = 5.0
STALE: Final = "x-x07-stale"


@dataclass
class Chaos:
    """All participants. processes: by kind, two of each. edge: a client of nginx, if it is installed."""

    cluster: Cluster
    servers: Servers
    judge: Judge
    headers: dict[str, str]
    processes: dict[Kind, list[Process]] = field(default_factory=dict)
    edge: httpx.AsyncClient | None = None
    faults: Counter[str] = field(default_factory=Counter)
    operations: int = 0
    paused: set[Process] = field(default_factory=set)
    seconds: list[float] = field(default_factory=list)

    async def start(self) -> None:
        """Start all processes."""
        for kind in ("write", "read", "worker"):
            self.processes[kind] = list(await self.cluster.start_all(kind, kind))

    async def ask(self, kind: Kind, method: str, path: str, **parts: Any) -> httpx.Response | None:
        """The answer of any process of a tier, or None."""
        process = random.choice(self.processes[kind])
        self.operations += 1
        try:
            async with asyncio.timeout(ANSWER_S):
                return await process.http.request(method, path, **parts)
        except (httpx.HTTPError, TimeoutError):
            return None

    async def publish_for_ever(self, publisher: int) -> None:
        """Publish version after version, each until it is acknowledged, and yank some."""
        for number in range(1_000_000):
            name, version = random.choice(NAMES), f"{publisher}.{number}.0"
            archive = hello_archive(name, version)
            self.judge.sent[name, version] = hashlib.sha256(archive).hexdigest()
            begun = time.monotonic()
            await self._until_acknowledged(name, version, archive)
            self.seconds.append(time.monotonic() - begun)
            if random.random() < 0.2:
                await self._yank(name, version, yanked=True)
                if random.random() < 0.5:
                    await self._yank(name, version, yanked=False)

    async def _until_acknowledged(self, name: str, version: str, archive: bytes) -> None:
        while True:
            answer = await self.ask(
                "write", "POST", "/v1/packages/publish", content=archive, headers=self.headers
            )
            if answer is not None and answer.status_code in (200, 409):
                self.judge.acknowledged.add((name, version))
                if answer.headers.get("x-x07-index-published") == "true":
                    await self._is_seen(name, version)
                return
            assert answer is None or answer.status_code == 503, answer.text
            await asyncio.sleep(0.1)

    async def _is_seen(self, name: str, version: str) -> None:
        """Check a publish that claims visibility: readers that hear messages have it, or answer as stale."""
        for reader in self.processes["read"]:
            if reader not in self.paused:
                answer = await self._read(reader.http, name)
                if answer is None or STALE in answer.headers:
                    continue
                if f'"{version}"'.encode() not in answer.content and not _was_deaf(reader):
                    self.judge.object("said too early", f"{reader.log.stem} does not list {name} {version}")

    async def _yank(self, name: str, version: str, *, yanked: bool) -> None:
        """Yank or restore a version.

        A request without an answer may take effect at any time, so its result stays open.
        """
        path = f"/v1/packages/{name}/{version}/yank"
        is_heard = self.judge.yanked.get((name, version), False) is not None
        self.judge.yanked[name, version] = None
        while True:
            answer = await self.ask("write", "POST", path, json={"yanked": yanked}, headers=self.headers)
            if answer is not None and answer.status_code == 200:
                self.judge.yanked[name, version] = yanked if is_heard else None
                return
            is_heard = is_heard and answer is not None
            assert answer is None or answer.status_code == 503, answer.text
            await asyncio.sleep(0.1)

    @property
    def readers(self) -> dict[str, httpx.AsyncClient]:
        """A client of each read server and of nginx, by name."""
        servers = {reader.log.stem: reader.http for reader in self.processes["read"]}
        return servers if self.edge is None else servers | {"nginx": self.edge}

    async def read_for_ever(self, reader: str) -> None:
        """Read every index file at one reader repeatedly, and the new archives in it.

        An answer of nginx that is marked as stale may be older than the one before.
        """
        http = self.readers[reader]
        while True:
            for name in NAMES:
                answer = await self._read(http, name)
                if (
                    answer is None
                    or answer.status_code != 200
                    or (http is self.edge and STALE in answer.headers)
                ):
                    continue
                for version in self.judge.read(reader, name, answer.content):
                    await self._download(http, name, version)
            await asyncio.sleep(0.02)

    async def _read(self, http: httpx.AsyncClient, name: str) -> httpx.Response | None:
        self.operations += 1
        try:
            async with asyncio.timeout(ANSWER_S):
                return await http.get(index_path(name))
        except (httpx.HTTPError, TimeoutError):
            return None

    async def _download(self, http: httpx.AsyncClient, name: str, version: str) -> None:
        self.operations += 1
        try:
            async with asyncio.timeout(ANSWER_S):
                await self.judge.check_archive(http, name, version)
        except (httpx.HTTPError, TimeoutError):
            return

    async def break_for_ever(self) -> None:
        """Inject one fault after another; pauses overlap."""
        async with asyncio.TaskGroup() as group:
            while True:
                await asyncio.sleep(random.uniform(0.3, 2.0))
                name, fault = random.choice(FAULTS)
                self.faults[name] += 1
                group.create_task(fault(self))

    async def pause(self, kind: Kind, longest_s: float) -> None:
        """Stop a process where it is, and let it continue later."""
        process = random.choice(self.processes[kind])
        if process in self.paused or not isinstance(process.child, Forked):
            return
        self.paused.add(process)
        process.child.pause()
        try:
            await asyncio.sleep(random.uniform(0.2, longest_s))
        finally:
            process.child.resume()
            self.paused.discard(process)

    async def kill(self, kind: Kind) -> None:
        """Kill a process, and start another in its place."""
        place = random.randrange(len(self.processes[kind]))
        process = self.processes[kind][place]
        if process in self.paused:
            return
        self.paused.add(process)
        await process.kill()
        self.processes[kind][place] = await self.cluster.start(kind)
        self.paused.discard(process)

    async def cut(self) -> None:
        """End the connections of every running publication."""
        await self.cluster.registry.rows(CUT)

    async def forget(self) -> None:
        """Empty Redis."""
        await self.servers.empty_valkey()

    async def settle(self) -> None:
        """Wait until everything is published and no late request can arrive any more."""
        await asyncio.sleep(LATEST_S)
        deadline = time.monotonic() + SETTLE_S
        while (await self.cluster.registry.rows(DIRTY))[0].dirty:
            if time.monotonic() > deadline:
                self.judge.object("stuck", "changes are not published")
                return
            await asyncio.sleep(0.1)


def _was_deaf(reader: Process) -> bool:
    """True if a reader lost its subscription lately, as after a pause, and hears no messages."""
    lines = [json.loads(line) for line in reader.log.read_text().splitlines() if DISCONNECTED in line]
    return any(time.time() - datetime.fromisoformat(line["timestamp"]).timestamp() < DEAF_S for line in lines)


Fault = Callable[[Chaos], Awaitable[None]]
FAULTS: Final[list[tuple[str, Fault]]] = [
    ("worker paused", lambda chaos: chaos.pause("worker", LONGEST_PAUSE_S)),
    ("worker paused", lambda chaos: chaos.pause("worker", LONGEST_PAUSE_S)),
    ("reader paused", lambda chaos: chaos.pause("read", 3.0)),
    ("writer paused", lambda chaos: chaos.pause("write", 3.0)),
    ("worker killed", lambda chaos: chaos.kill("worker")),
    ("writer killed", lambda chaos: chaos.kill("write")),
    ("connections ended", lambda chaos: chaos.cut()),
    ("redis emptied", lambda chaos: chaos.forget()),
]


@asynccontextmanager
async def running(storage: str) -> AsyncIterator[tuple[Chaos, S3Proxy | None]]:
    """A cluster over a directory, or over S3 behind the proxy, with everything started."""
    async with AsyncExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="x07-chaos-")))
        servers = await stack.enter_async_context(Servers.running())
        url = {"database_url": await servers.new_database(), "redis_url": servers.valkey.url}
        values: dict[str, Any] = {**url, **VALUES, "redis_namespace": "chaos", "data_dir": directory / "tree"}
        proxy, behind = None, {}
        if storage == "s3":
            seaweedfs = SeaweedFs(directory)
            seaweedfs.start()
            stack.callback(seaweedfs.stop)
            proxy = await stack.enter_async_context(S3Proxy(seaweedfs.endpoint).running())
            behind = {"s3_endpoint": seaweedfs.endpoint}
            values |= {"storage": "s3", **seaweedfs.settings, "s3_endpoint": proxy.endpoint}
        cluster = await stack.enter_async_context(open_cluster(values, directory, **behind))
        chaos = Chaos(
            cluster, servers, Judge(), await cluster.registry.add_publisher("ann", "publish", "owner.manage")
        )
        await chaos.start()
        chaos.edge = await stack.enter_async_context(edge_before(chaos.processes, directory))
        yield chaos, proxy


async def play(minutes: float, storage: str) -> Chaos:
    """Run the whole scenario. At the end the judge has decided."""
    async with running(storage) as (chaos, proxy):
        if proxy is not None:
            proxy.choose = lambda sent: treatment_of(sent, chaos.faults)
        work = [
            *(chaos.publish_for_ever(number) for number in range(PUBLISHERS)),
            *map(chaos.read_for_ever, chaos.readers),
            chaos.break_for_ever(),
        ]
        try:
            async with asyncio.timeout(60 * minutes), asyncio.TaskGroup() as group:
                for part in work:
                    group.create_task(part)
        except TimeoutError:
            pass  # the normal end
        if proxy is not None:
            proxy.choose = lambda sent: Pass()
        await chaos.settle()
        for reader, http in chaos.readers.items():
            await chaos.judge.decide(http, reader)
        patient = chaos.cluster.variables(s3_timeout_seconds=60, database_timeout_seconds=60)
        verified = await asyncio.to_thread(run, "verify", "--deep", **patient)
        if verified.returncode != 0:
            chaos.judge.object("not verified", verified.stdout + verified.stderr)
        return chaos


def report(chaos: Chaos, made_by: str) -> str:
    """The figures as text."""
    judge = chaos.judge
    seconds = sorted(chaos.seconds) or [0.0]
    kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(chaos.faults.items()))
    return "\n".join(
        [
            f"`{made_by}` on {machine()}:",
            f"{sum(chaos.faults.values()):,} faults ({kinds}),",
            f"{chaos.operations:,} operations, {len(judge.acknowledged):,} acknowledged versions,",
            f"{judge.reads:,} index files read ({'also' if chaos.edge else 'not'} through nginx);",
            f"a publish until acknowledged: median {seconds[len(seconds) // 2]:.2f} s,",
            f"worst {seconds[-1]:.1f} s.",
            f"What must not be: {dict(judge.wrong) or 'nothing'}.",
        ]
    )


def main() -> None:
    """Run the scenario and print the result. Exits with 1 if the judge found a violation."""
    parser = argparse.ArgumentParser(prog="make chaos")
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--storage", choices=("s3", "fs"), default="s3")
    parser.add_argument("--seed", type=int, default=None)
    arguments = parser.parse_args()
    seed = arguments.seed if arguments.seed is not None else random.SystemRandom().randrange(1_000_000)
    random.seed(seed)
    made_by = f"make chaos MINUTES={arguments.minutes:g} STORAGE={arguments.storage} SEED={seed}"
    print(made_by, flush=True)
    chaos = asyncio.run(play(arguments.minutes, arguments.storage))
    print("\n".join([*chaos.judge.told[:50], report(chaos, made_by)]))
    sys.exit(1 if chaos.judge.wrong else 0)


if __name__ == "__main__":
    main()
