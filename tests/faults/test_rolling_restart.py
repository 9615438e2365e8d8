"""Each process is stopped by SIGTERM and replaced, one at a time, during publishes and reads."""

from __future__ import annotations

import asyncio
import hashlib
import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx

from shared.names import PackageName, shard_path
from tests.archives import hello_archive
from tests.faults.cluster import Cluster, Kind, Process
from tests.faults.promises import Promises
from tests.stack import eventually

ROW = "rolling restart of each role under load"
KINDS: tuple[Kind, ...] = ("write", "read", "worker")
TRIES = 20
PAUSE_S = 0.05
PUBLISHERS, READERS = 2, 3
BETWEEN = 3
"""The number of publishes and reads that must succeed before the next process is stopped."""


@dataclass
class Tier:
    """The servers of a tier, used like by an edge (docs/upgrades.md): the next one if one does not answer.

    tried_again: requests that one server did not answer, or answered with 503.
    """

    servers: list[Process] = field(default_factory=list)
    tried_again: int = 0
    _turns: itertools.count[int] = field(default_factory=itertools.count)

    async def ask(self, method: str, path: str, **parts: Any) -> tuple[httpx.Response, bool]:
        """The answer, and whether an earlier attempt without an answer may have taken effect."""
        unheard = False
        for _ in range(TRIES):
            server = self.servers[next(self._turns) % len(self.servers)]
            try:
                answer = await server.http.request(method, path, **parts)
            except httpx.TransportError as error:
                unheard = unheard or not isinstance(error, httpx.ConnectError)
                answer = None
            if answer is not None and answer.status_code != httpx.codes.SERVICE_UNAVAILABLE:
                return answer, unheard
            self.tried_again += 1
            await asyncio.sleep(PAUSE_S)
        raise AssertionError(f"{method} {path} was not answered in {TRIES} tries")


@dataclass
class Load:
    """Clients that publish and read without pauses until they are stopped."""

    promises: Promises
    tiers: dict[Kind, Tier]
    published: int = 0
    read: int = 0
    _numbers: itertools.count[int] = field(default_factory=itertools.count)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Run them; a failure of any of them fails the test."""
        people = [self._publish() for _ in range(PUBLISHERS)] + [self._read() for _ in range(READERS)]
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(person) for person in people]
            yield
            for task in tasks:
                task.cancel()

    async def _publish(self) -> None:
        while True:
            name = f"p{next(self._numbers)}"
            body = hello_archive(name)
            answer, unheard = await self.tiers["write"].ask(
                "POST", "/v1/packages/publish", content=body, headers=self.promises.headers
            )
            # A 409 after a lost answer means that it is published; the client could compare the checksum.
            assert answer.status_code == 200 or (unheard and answer.status_code == 409), answer.text
            self.promises.tally.tried += 1
            self.promises.tally.acknowledged += 1
            self.promises.acknowledged[name, "0.1.0"] = hashlib.sha256(body).hexdigest()
            self.published += 1

    async def _read(self) -> None:
        for number in itertools.count():
            known = list(self.promises.acknowledged.items())
            (name, version), sha256 = known[number % len(known)]
            answer, _ = await self.tiers["read"].ask("GET", f"/v1/packages/{name}/{version}/download")
            if answer.status_code == 404:  # acknowledged just now, and not published yet
                await asyncio.sleep(PAUSE_S)
                continue
            assert answer.status_code == 200, answer.text
            assert hashlib.sha256(answer.content).hexdigest() == sha256
            answer, _ = await self.tiers["read"].ask("GET", f"/index/{shard_path(PackageName(name))}")
            assert answer.status_code in (200, 404), answer.text
            self.read += 1

    async def until_more(self) -> None:
        """Wait until more requests have succeeded."""
        published, read = self.published + BETWEEN, self.read + BETWEEN

        async def is_more() -> bool:
            return self.published >= published and self.read >= read

        await eventually(is_more, 60.0)


async def test_no_read_fails_and_no_publish_that_a_retry_does_not_mend(
    cluster: Cluster, promises: Promises
) -> None:
    """There are two of each role; finally both readers have every acknowledged version, with one ETag."""
    tiers = {kind: Tier(await cluster.start_all(kind, kind)) for kind in KINDS}
    load = Load(promises, tiers)
    first = await promises.publish(tiers["write"].servers[0].http, "hello", "0.1.0")
    assert first is not None
    assert first.status_code == 200
    await promises.until_published()
    async with load.running():
        for kind in KINDS:
            for place, old in enumerate(list(tiers[kind].servers)):
                await load.until_more()
                ended = await old.child.stop()
                assert ended in ("SIGTERM", "exit status 0"), old.log.read_text()[-2000:]
                promises.tally.faults += 1
                tiers[kind].servers[place] = await cluster.start(kind)
        await load.until_more()
    print(
        f"{load.published} publishes, {load.read} reads, tried again: "
        f"{tiers['write'].tried_again} publishes, {tiers['read'].tried_again} reads"
    )
    for reader in tiers["read"].servers:
        await promises.are_kept(reader.http)
    for name, _ in promises.acknowledged:
        path = f"/index/{shard_path(PackageName(name))}?x07_refresh=1"
        etags = {(await reader.http.get(path)).headers["etag"] for reader in tiers["read"].servers}
        assert len(etags) == 1, name
