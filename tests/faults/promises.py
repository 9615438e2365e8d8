"""The registry's promises and whether it kept them: the one judge of every fault test.

An acknowledged version is in the index and its archive is intact. The published files are exactly what the
rows render to, rendered again here. A line of an index file always has its archive.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import httpx
import msgspec

from indexer.advisory_list import render_advisory_list
from indexer.catalog import render_catalog, render_catalog_line
from indexer.entry import render_index_file
from indexer.metadata import render_metadata
from indexer.package_page import render_package_page
from indexer.queries import packages
from shared.blobs import CATALOG_KEY, advisories_key, archive_key, index_key, metadata_key, package_key
from shared.names import PackageName, shard_path
from shared.storage.interface import Found
from tests.archives import hello_archive
from tests.faults.cluster import Cluster
from tests.faults.tally import Tally
from tests.stack import Registry

RECOVERY_DEADLINE_S = 45.0
POLL_S = 0.05
DIRTY = """
SELECT (SELECT count(*) FROM index_state WHERE generation > published_generation)
     + (SELECT count(*) FROM catalog_changes) AS dirty
"""


@dataclass
class Promises:
    """The requests of one test and their answers. acknowledged: SHA-256 by name and version."""

    cluster: Cluster
    tally: Tally
    headers: dict[str, str]
    acknowledged: dict[tuple[str, str], str] = field(default_factory=dict)
    _healed_at: float | None = None

    def healed(self) -> None:
        """Note the end of the fault: the time from now on, until everything has succeeded, is recovery."""
        self._healed_at = time.monotonic()

    def _recovered(self) -> None:
        if self._healed_at is not None:
            self.tally.recover_s.append(time.monotonic() - self._healed_at)
            self._healed_at = None

    async def publish(
        self, http: httpx.AsyncClient, name: str, version: str, *, archive: bytes | None = None
    ) -> httpx.Response | None:
        """Publish a version and record the promise; None if no answer came."""
        body = archive or hello_archive(name, version)
        self.tally.tried += 1
        try:
            answer = await http.post("/v1/packages/publish", content=body, headers=self.headers)
        except httpx.TransportError:
            return None
        if answer.status_code == 200:
            self.acknowledged[name, version] = hashlib.sha256(body).hexdigest()
            self.tally.acknowledged += 1
        elif answer.status_code == 503:
            assert int(answer.headers["retry-after"]) > 0
        return answer

    async def publish_again(self, http: httpx.AsyncClient, name: str, version: str) -> None:
        """Publish a version that may exist already: 200 or 409; either way it is then promised."""
        answer = await self.publish(http, name, version)
        if answer is None or answer.status_code not in (200, 409):
            self.tally.stuck += 1
        assert answer is not None
        assert answer.status_code in (200, 409), answer.text
        self.acknowledged[name, version] = hashlib.sha256(hello_archive(name, version)).hexdigest()
        self._recovered()

    async def is_published(self) -> bool:
        """True if everything is published."""
        return (await self.cluster.registry.rows(DIRTY))[0].dirty == 0

    async def until_published(self, deadline_s: float = RECOVERY_DEADLINE_S) -> None:
        """Wait until everything is published."""
        begun = time.monotonic()
        while dirty := (await self.cluster.registry.rows(DIRTY))[0].dirty:
            if time.monotonic() - begun > deadline_s:
                self.tally.stuck += dirty
                raise AssertionError(f"{dirty} changes are not published after {deadline_s} s")
            await asyncio.sleep(POLL_S)

    async def until_recovered(self, deadline_s: float = RECOVERY_DEADLINE_S) -> None:
        """Wait until everything is published, and count the time since the end of the fault."""
        await self.until_published(deadline_s)
        self._recovered()

    async def are_kept(self, reader: httpx.AsyncClient, deadline_s: float = RECOVERY_DEADLINE_S) -> None:
        """Fail unless every promise holds and the tree is that of the rows, after everything is published."""
        await self.until_recovered(deadline_s)
        await tree_equals_rows(self.cluster.registry)
        await self.are_served(reader)

    async def are_served(self, reader: httpx.AsyncClient) -> None:
        """Fail unless this reader serves every acknowledged version, after everything is published."""
        await self.until_published()
        for (name, version), sha256 in self.acknowledged.items():
            if not await is_intact(reader, name, version, sha256):
                self.tally.lost += 1
        assert self.tally.lost == 0, f"{self.tally.lost} acknowledged versions are lost"


async def index_lines(
    reader: httpx.AsyncClient, name: str, query: str = "?x07_refresh=1"
) -> dict[str, dict[str, object]]:
    """The lines of the index file in storage by version; empty if there is no file."""
    answer = await reader.get(f"/index/{shard_path(PackageName(name))}{query}")
    if answer.status_code == 404:
        return {}
    assert answer.status_code == 200, answer.text
    lines = [msgspec.json.decode(line) for line in answer.content.splitlines()]
    return {line["version"]: line for line in lines}


async def archive_sha256(reader: httpx.AsyncClient, name: str, version: str) -> str | None:
    """The SHA-256 of a download, or None."""
    answer = await reader.get(f"/v1/packages/{name}/{version}/download")
    return hashlib.sha256(answer.content).hexdigest() if answer.status_code == 200 else None


async def is_intact(reader: httpx.AsyncClient, name: str, version: str, sha256: str) -> bool:
    """True if readers find the version and get its exact bytes."""
    line = (await index_lines(reader, name)).get(version)
    return (
        line is not None and line["cksum"] == sha256 and await archive_sha256(reader, name, version) == sha256
    )


async def nothing_stands_without_its_archive(reader: httpx.AsyncClient, name: str) -> None:
    """Fail if a line of the index file names an archive that readers do not get."""
    for version, line in (await index_lines(reader, name)).items():
        assert await archive_sha256(reader, name, version) == line["cksum"], (name, version)


async def tree_equals_rows(registry: Registry) -> None:
    """Fail unless the published tree is exactly what the rows render to, file by file."""
    official = registry.settings.official_handle
    expected: dict[str, bytes] = {}
    archives: dict[str, str] = {}
    lines: list[bytes] = []
    async with registry.database.transaction() as tx:
        names = (await tx.exec_driver_sql('SELECT name FROM packages ORDER BY name COLLATE "C"')).scalars()
        for name in names.all():
            package = (await packages.states_of(tx, [name], official))[0].package
            lines.append(render_catalog_line(package))
            expected[index_key(name)] = render_index_file(package)
            expected[package_key(name)] = render_package_page(package)
            for row in package.versions:
                expected[metadata_key(name, row.version)] = render_metadata(package, row)
                archives[archive_key(name, row.version)] = row.cksum
                if row.ever_advised:
                    expected[advisories_key(name, row.version)] = render_advisory_list(package, row)
    expected[CATALOG_KEY] = b"".join([piece async for piece in render_catalog(_each(lines))])
    for key, body in expected.items():
        found = await registry.storage.get(key)
        assert isinstance(found, Found), f"{key} is missing"
        assert found.body == body, key
        assert found.digest == hashlib.sha256(body).hexdigest(), key
    for key, cksum in archives.items():
        found = await registry.storage.get(key)
        assert isinstance(found, Found), f"{key} is missing"
        assert hashlib.sha256(found.body).hexdigest() == found.digest == cksum, key
    assert set(await registry.keys("dl/")) == {key for key in (*expected, *archives) if key.startswith("dl/")}


async def _each(lines: list[bytes]) -> AsyncIterator[bytes]:
    for line in lines:
        yield line
