"""The transparency log after kills, rivals, failing storage and an older database: it has one history.

After each fault the readers' checkpoint is consistent with all earlier ones, each line of an index file is in
the log, and its last entry is that line.
"""

from __future__ import annotations

import asyncio
import hashlib
import random
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import httpx
import pytest

from indexer.log.reader import Head, LogReader, fetch_from
from shared.settings import Settings
from tests.archives import hello_archive
from tests.deploy.forked_commands import run
from tests.fault_proxy import Answer, Cut, FaultProxy, Hang, Refuse
from tests.faults.cluster import Cluster, Process, open_cluster
from tests.faults.conftest import MakeCluster
from tests.faults.depth import rounds, some
from tests.faults.servers import Servers
from tests.log.logs import LOGGING, SIGNER, WholeLog, index_lines_of, read_log
from tests.observability.conftest import operations_url
from tests.seaweedfs import SeaweedFs
from tests.stack import eventually

ROW = "transparency log: workers killed at each point, rivals, storage failing, a database of yesterday"
POINTS = ("after_log_places", "after_log_tiles", "after_log_head", "after_log_checkpoint")
FAULTS = (Answer(500), Answer(503), Hang(), Cut(), Refuse())
MANY = 6
"""More strikes than a client's own attempts."""
LAST_CHANGE = 12
"""The largest number of changes in storage with which a worker publishes and logs a version."""
FEWEST_CHANGES = 6
"""The smallest number: small files have no variants, and an earlier worker may have done a part."""
WAITING = """
SELECT (SELECT count(*) FROM index_state WHERE generation > published_generation)
     + (SELECT count(*) FROM log_pending)
     + (SELECT count(*) FROM log_entries WHERE entry_index >= (SELECT size FROM log_state)) AS waiting
"""


@dataclass
class Witness:
    """Remembers every checkpoint that it has seen, like a monitor."""

    cluster: Cluster
    seen: dict[int, Head] = field(default_factory=dict)

    @property
    def reader(self) -> LogReader:
        """A reader of the log in storage."""
        return LogReader(fetch_from(self.cluster.registry.storage), [SIGNER.verifier])

    async def look(self) -> Head | None:
        """Remember the present checkpoint; fails if another one of the same size was seen."""
        head = await self.reader.head()
        if head is not None:
            known = self.seen.setdefault(head.size, head)
            assert known.root == head.root, f"two roots of size {head.size}"
        return head

    async def until_logged(self, *names: str) -> WholeLog:
        """Wait until everything is published and logged. Returns the log, which must have one history."""

        await eventually(self.is_logged)
        log = await read_log(self.cluster.registry.storage)
        for head in self.seen.values():
            await self.reader.require_consistent(head.checkpoint, log.head)
        for release, line in (await index_lines_of(self.cluster.registry.storage, *names)).items():
            assert log.last_digests()[release] == hashlib.sha256(line).hexdigest(), release
        logged = [(entry.name, entry.version, entry.digest) for entry in log.entries]
        assert len(set(logged)) == len(logged), "a line was logged twice"
        return log

    async def is_logged(self) -> bool:
        """True if everything is published and logged."""
        await self.look()
        rows = await self.cluster.registry.rows(WAITING)
        return not rows[0].waiting and await self._is_published()

    async def _is_published(self) -> bool:
        head = await self.look()
        [state] = await self.cluster.registry.rows("SELECT size FROM log_state") or [None]
        return head is not None and state is not None and head.size == state.size


async def publish(writer: Process, headers: dict[str, str], version: str, name: str = "hello") -> None:
    """Publish a version, which need not become visible at once."""
    answer = await writer.http.post(
        "/v1/packages/publish", content=hello_archive(name, version), headers=headers
    )
    assert answer.status_code == 200, answer.text


@pytest.mark.parametrize("kind", ["fs", "s3"])
async def test_a_turn_cut_off_at_any_point_is_finished_by_the_next_worker(
    make_cluster: MakeCluster, kind: str, request: pytest.FixtureRequest, tally: Any
) -> None:
    """Workers are killed at the four steps and after every change of storage; each continues the work."""
    values: dict[str, Any] = {**LOGGING, "publish_wait_seconds": 0}
    if kind == "s3":
        seaweedfs: SeaweedFs = request.getfixturevalue("seaweedfs")
        values |= {"storage": "s3", "s3_prefix": f"log-{uuid4().hex}/", **seaweedfs.settings}
    cluster = await make_cluster(**values)
    headers, witness = await cluster.registry.add_publisher(), Witness(cluster)
    writer = await cluster.start("write")
    changes = [f"change:{number}" for number in range(1, LAST_CHANGE + 1)]
    certain = {*POINTS, *changes[:FEWEST_CHANGES]}
    for number, point in enumerate((*POINTS, *some(changes, 4))):
        await publish(writer, headers, f"0.{number}.0")
        await cluster.strike(point, unless=None if point in certain else witness.is_logged)
        await witness.look()
        tally.faults += 1
    await cluster.start("worker")
    log = await witness.until_logged("hello")
    assert len(log.entries) == len(POINTS) + len(some(changes, 4))


async def test_workers_that_die_beside_each_other_make_one_history(
    make_cluster: MakeCluster, tally: Any
) -> None:
    """There are three workers, one of which is killed from time to time while others publish."""
    cluster = await make_cluster(**LOGGING)
    headers, witness = await cluster.registry.add_publisher(), Witness(cluster)
    writer, _, _, victim = await cluster.start_all("write", "worker", "worker", "worker")
    for number in range(rounds(3)):
        work = [
            asyncio.create_task(publish(writer, headers, f"{number}.{minor}.0", f"hello{minor % 3}"))
            for minor in range(6)
        ]
        await asyncio.wait(work, timeout=random.uniform(0.1, 0.9))
        await victim.kill()
        await witness.look()
        tally.faults += 1
        victim = await cluster.start("worker")
        await asyncio.gather(*work)
    log = await witness.until_logged("hello0", "hello1", "hello2")
    assert len(log.entries) == 6 * rounds(3)


async def test_storage_that_fails_half_way_does_not_fork_the_log(
    make_cluster: MakeCluster, seaweedfs: SeaweedFs, tally: Any
) -> None:
    """Any request of a turn may fail, hang or be cut off, with or without taking effect."""
    async with FaultProxy.before(seaweedfs.endpoint).running() as proxy:
        values: dict[str, Any] = {
            **LOGGING,
            "storage": "s3",
            **seaweedfs.settings,
            "s3_prefix": f"log-{uuid4().hex}/",
            "s3_endpoint": f"http://127.0.0.1:{proxy.port}",
            "s3_timeout_seconds": 0.5,
            "publish_wait_seconds": 0,
        }
        cluster = await make_cluster(behind={"s3_endpoint": seaweedfs.endpoint}, **values)
        headers, witness = await cluster.registry.add_publisher(), Witness(cluster)
        writer, _ = await cluster.start_all("write", "worker")
        for number, place in enumerate(some(range(20), 5)):
            await publish(writer, headers, f"0.{number}.0")
            proxy.inject(random.choice(FAULTS), times=MANY, after=place)
            await eventually(lambda: reached(proxy, MANY))
            proxy.heal()
            tally.faults += MANY
            await witness.until_logged("hello")


async def test_a_database_of_yesterday_signs_nothing_until_it_is_recovered(
    make_cluster: MakeCluster, servers: Servers, tally: Any
) -> None:
    """doctor, /readyz and the metric report it; after `log recover` the history continues."""
    cluster = await make_cluster(**LOGGING)
    headers, witness = await cluster.registry.add_publisher(), Witness(cluster)
    writer, worker = await cluster.start_all("write", "worker")
    await publish(writer, headers, "0.1.0")
    await witness.until_logged("hello")
    dump = await copied_database(cluster, servers, writer, worker)
    writer, worker = await cluster.start_all("write", "worker")
    for minor in range(2, 5):
        await publish(writer, headers, f"0.{minor}.0")
        before = await witness.until_logged("hello")
    assert before.head.size == 4
    for process in (writer, worker):
        await process.close()
    tally.faults += 1
    values = {**cluster.values, "database_url": dump}
    directory = cluster.registry.settings.data_dir.parent / "restored"
    directory.mkdir()
    async with open_cluster(values, directory) as restored:
        worker = await restored.start("worker", metrics_bind="127.0.0.1:0")
        writer = await restored.start("write", publish_wait_seconds=0)
        async with httpx.AsyncClient(base_url=await operations_url(worker)) as http:
            await eventually(lambda: says(http, "/metrics", "x07_log_diverged 1.0"))
            ready = await http.get("/readyz")
            assert ready.status_code == 503
            assert ready.json()["dependencies"]["log"]["ok"] is False
        doctor = await asyncio.to_thread(run, "doctor", **restored.variables())
        assert "storage has a log of 4 entries, the database one of 1" in doctor.stdout
        assert (await read_log(restored.registry.storage)).head == before.head
        await worker.close()
        for command in (("rebuild-from-tree",), ("log", "recover")):
            answer = await asyncio.to_thread(run, *command, **restored.variables())
            assert answer.returncode == 0, answer.stdout + answer.stderr
        await restored.start("worker")
        await eventually(lambda: is_ready(writer.http))
        await publish(writer, headers, "9.0.0", "other")
        witness.cluster = restored
        log = await witness.until_logged("other")
        assert log.entries[:4] == before.entries
        assert log.entries[-1].name == "other"


async def reached(proxy: FaultProxy, strikes: int) -> bool:
    """True once the proxy has struck this many times; a worker asks storage twice per second."""
    return proxy.strikes >= strikes


async def copied_database(cluster: Cluster, servers: Servers, *processes: Process) -> str:
    """The URL of a copy of the cluster's database; the processes are stopped for it."""
    for process in processes:
        await process.close()
    await cluster.registry.database.close()
    settings: Settings = cluster.registry.settings
    source = urlsplit(settings.database_url.get_secret_value()).path.removeprefix("/")
    return await servers.new_database(template=source)


async def says(http: httpx.AsyncClient, path: str, text: str) -> bool:
    """True if a page for operators contains this text."""
    return text in (await http.get(path)).text


async def is_ready(http: httpx.AsyncClient) -> bool:
    """True if the process reports that it is ready."""
    return (await http.get("/readyz")).status_code == 200
