"""Publishers and readers that keep working through the edge, whatever happens behind it."""

from __future__ import annotations

import asyncio
import itertools
import json
from dataclasses import dataclass, field

import httpx

from tests.archives import hello_archive
from tests.stack import bearer

PACKAGES = tuple(f"pack{number}" for number in range(6))
TRIES = 10
PAUSE_S = 0.2


@dataclass
class Traffic:
    """The requests and their outcomes. retried: the answers of attempts that were not the last."""

    url: str
    token: str
    published: dict[str, list[str]] = field(default_factory=lambda: {name: [] for name in PACKAGES})
    retried: list[str] = field(default_factory=list)
    reads: int = 0
    failed_reads: list[str] = field(default_factory=list)
    failed_publishes: list[str] = field(default_factory=list)

    async def run(self, stop: asyncio.Event) -> None:
        """Publish and read until told to stop."""
        async with httpx.AsyncClient(base_url=self.url, timeout=60) as http, asyncio.TaskGroup() as group:
            for name in PACKAGES[:3]:
                group.create_task(self._publish_until(stop, http, name))
            for _ in range(4):
                group.create_task(self._read_until(stop, http))

    async def publish(self, http: httpx.AsyncClient, name: str, version: str) -> None:
        """Publish like a client: retry after 5xx or a broken connection; 409 then means success."""
        answer: str = "none"
        for attempt in range(TRIES):
            try:
                response = await http.post(
                    "/v1/packages/publish",
                    content=hello_archive(name, version),
                    headers=bearer(self.token),
                )
                answer = f"{response.status_code} {response.text[:200]}"
                if response.status_code == 200 or (response.status_code == 409 and attempt):
                    self.published[name].append(version)
                    return
            except httpx.TransportError as error:
                answer = repr(error)
            self.retried.append(f"{name} {version}: {answer}")
            await asyncio.sleep(PAUSE_S)
        self.failed_publishes.append(f"{name} {version}: {answer}")

    async def _publish_until(self, stop: asyncio.Event, http: httpx.AsyncClient, name: str) -> None:
        for minor in itertools.count(1):
            if stop.is_set():
                return
            await self.publish(http, name, f"1.{minor}.0")

    async def _read_until(self, stop: asyncio.Event, http: httpx.AsyncClient) -> None:
        """Read index files with and without the cache, and the archive of a line; each of them must exist.

        Just published versions are left out: a 409 at a second try means that it is stored, not that it is
        visible.
        """
        for number in itertools.count():
            if stop.is_set():
                return
            name = PACKAGES[number % len(PACKAGES)]
            if not self.published[name]:
                await asyncio.sleep(0)
                continue
            await self._read(http, index_path(name))
            index = await self._read(http, f"{index_path(name)}?x07_refresh=1")
            if index is not None:
                newest = json.loads(index.text.splitlines()[-1])["version"]
                await self._read(http, archive_path(name, newest))

    async def _read(self, http: httpx.AsyncClient, path: str) -> httpx.Response | None:
        """The answer; None, and recorded, if it is not 200."""
        self.reads += 1
        try:
            response = await http.get(path)
        except httpx.TransportError as error:
            self.failed_reads.append(f"{path}: {error!r}")
            return None
        if response.status_code != 200:
            self.failed_reads.append(f"{path}: {response.status_code} {response.text[:200]}")
            return None
        return response


def index_path(name: str) -> str:
    """The path of a package's index file."""
    return f"/index/{name[:2]}/{name[2:4]}/{name}"


def archive_path(name: str, version: str) -> str:
    """The path of an archive."""
    return f"/v1/packages/{name}/{version}/download"
