"""Publishes, yanks, advisories and owner changes race on one package: the index finally equals the rows."""

from __future__ import annotations

import asyncio
import random

import httpx

from tests.faults.cluster import Cluster
from tests.faults.depth import rounds
from tests.faults.promises import Promises, index_lines
from tests.faults.tally import Tally

ROW = "publish and yank and advisory and owner changes racing on one package"
VERSIONS = 24
ADVISORY = {"kind": "security", "severity": "high", "summary": "Do not use."}


async def test_whatever_races_the_index_equals_the_rows_and_no_reader_goes_back(
    cluster: Cluster, promises: Promises
) -> None:
    """Two writers, two workers and two readers; every change adds something, so readers may only see more."""
    registry = cluster.registry
    promises.headers = await registry.add_publisher("bob", "publish", "owner.manage")
    official = registry.settings.official_handle
    await registry.add_user(official)
    one, two, fresh, cached, *_ = await cluster.start_all(
        "write", "write", "read", "read", "worker", "worker"
    )
    watched = asyncio.Event()
    watching = [
        asyncio.create_task(never_goes_back(watched, fresh.http, "?x07_refresh=1")),
        asyncio.create_task(never_goes_back(watched, cached.http, "")),
    ]
    versions = [f"0.{minor}.0" for minor in range(rounds(VERSIONS))]
    await promises.publish(one.http, "hello", versions[0])
    changes = Changes((one.http, two.http), promises.headers, promises.tally)
    await asyncio.gather(
        publish_all(promises, one.http, versions[1::2]),
        publish_all(promises, two.http, versions[2::2]),
        changes.yank_and_warn(versions),
        changes.change_owners(official, rounds(12)),
    )
    promises.healed()
    await promises.until_recovered()
    watched.set()
    seen = [await watcher for watcher in watching]
    assert all(steps > 3 for steps in seen), "the readers were watched while it happened"
    await promises.are_kept(fresh.http)
    assert await index_lines(cached.http, "hello") == await index_lines(fresh.http, "hello")


async def publish_all(promises: Promises, http: httpx.AsyncClient, versions: list[str]) -> None:
    """Publish one version after another."""
    for version in versions:
        answer = await promises.publish(http, "hello", version)
        assert answer is not None
        assert answer.status_code == 200, answer.text


class Changes:
    """Changes of the package by its owner, on either writer."""

    def __init__(self, writers: tuple[httpx.AsyncClient, ...], headers: dict[str, str], tally: Tally) -> None:
        self._writers = writers
        self._headers = headers
        self._tally = tally

    async def _ask(self, method: str, path: str, body: object = None) -> int:
        self._tally.tried += 1
        answer = await random.choice(self._writers).request(
            method, f"/v1/packages/hello/{path}", json=body, headers=self._headers
        )
        self._tally.faults += 1
        self._tally.acknowledged += answer.status_code == 200
        return answer.status_code

    async def yank_and_warn(self, versions: list[str]) -> None:
        """Yank every third version and add an advisory to every fourth, once each, as soon as it exists."""
        for number, version in enumerate(versions):
            for path, body, every in (("yank", {"yanked": True}, 3), ("advisories", ADVISORY, 4)):
                if number % every == 0:
                    while (status := await self._ask("POST", f"{version}/{path}", body)) == 404:
                        continue
                    assert status == 200

    async def change_owners(self, official: str, times: int) -> None:
        """Add and remove the official user as an owner repeatedly."""
        for _ in range(times):
            assert await self._ask("POST", "owners", {"handle": official}) == 200
            assert await self._ask("DELETE", f"owners/{official}") == 200


async def never_goes_back(stop: asyncio.Event, reader: httpx.AsyncClient, query: str) -> int:
    """Read repeatedly; fails if a version, yank or advisory disappears.

    Returns the number of changes it saw.
    """
    seen: set[tuple[str, str]] = set()
    steps = 0
    while not stop.is_set():
        now = {
            fact
            for version, line in (await index_lines(reader, "hello", query)).items()
            for fact in (
                (version, "there"),
                *([(version, "yanked")] if line["yanked"] else []),
                *([(version, "warned")] if line.get("advisories") else []),
            )
        }
        assert seen <= now, f"went back by {sorted(seen - now)}"
        steps += now != seen
        seen = now
    return steps
