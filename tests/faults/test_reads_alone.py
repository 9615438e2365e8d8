"""Only the read service and storage run: every published file is still served."""

from __future__ import annotations

import hashlib

import httpx

from api.read.routes import canonical_path
from shared.storage.interface import Found
from tests.faults.cluster import Cluster
from tests.faults.promises import Promises
from tests.faults.servers import Servers
from tests.stack import Registry

ROW = "everything but the read service and storage down"
PACKAGES = ("hello", "world", "a", "ab", "abc")


async def test_every_index_file_and_archive_is_served_by_readers_alone(
    cluster: Cluster, promises: Promises, servers: Servers
) -> None:
    """A reader that ran before, and one that starts during the outage with an empty cache."""
    registry = cluster.registry
    writer, reader, worker = await cluster.start_all("write", "read", "worker")
    for name in PACKAGES:
        for version in ("0.1.0", "0.2.0-rc.1+b"):
            answer = await promises.publish(writer.http, name, version)
            assert answer is not None
            assert answer.status_code == 200
    await promises.are_kept(reader.http)
    await writer.kill()
    await worker.kill()
    await servers.postgres.stop()
    await servers.valkey.stop()
    promises.tally.faults += 4
    try:
        newcomer = await cluster.start("read")
        # The page of a package is for restores and mirrors; the read service does not serve it.
        unread = (".gz", ".zst", "/package")
        keys = [key for key in await registry.keys() if not key.endswith(unread)]
        assert len(keys) == 2 + len(PACKAGES) * 5  # configuration, catalog; index file, two of each version
        for http in (reader.http, newcomer.http):
            ready = await http.get("/readyz")
            assert (ready.status_code, list(ready.json()["dependencies"])) == (200, ["storage"])
            for key in keys:
                promises.tally.tried += 1
                lost = not await is_served(http, key, registry)
                promises.tally.lost += lost
                assert not lost, key
    finally:
        await servers.postgres.start()
        await servers.valkey.start()


async def is_served(http: httpx.AsyncClient, key: str, registry: Registry) -> bool:
    """True if readers get the blob as it is in storage, with its digest as ETag, and not stale."""
    answer = await http.get(canonical_path(key).decode())
    stored = await registry.storage.get(key)
    assert isinstance(stored, Found)
    return (
        answer.status_code == 200
        and answer.content == stored.body
        and answer.headers["etag"] == f'"{hashlib.sha256(stored.body).hexdigest()}"'
        and "x-x07-stale" not in answer.headers
    )
