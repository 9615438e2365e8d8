"""S3 fails in every way: publishes are answered 503, and reads continue, marked as stale."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import httpx
import pytest
import pytest_asyncio

from shared.names import PackageName, shard_path
from tests.archives import build_archive, hello_manifest, hello_module, json_bytes, listed_files
from tests.fault_proxy import Answer, Cut, Fault, FaultProxy, Hang, Refuse
from tests.faults.cluster import Cluster
from tests.faults.conftest import MakeCluster
from tests.faults.depth import some
from tests.faults.promises import Promises, archive_sha256
from tests.seaweedfs import SeaweedFs

ROW = "S3 answers 500, 503, times out, cuts a body, is away"
FAULTS = (Answer(500), Answer(503), Hang(), Cut(), Cut(40), Refuse())
HELLO = f"/index/{shard_path(PackageName('hello'))}"
REQUESTS = 14
"""The approximate number of requests to S3 for a publish and its publication."""
PLACES = 4
MANY = 6
"""More strikes than a client's own attempts."""


@pytest_asyncio.fixture
async def proxy(seaweedfs: SeaweedFs) -> AsyncIterator[FaultProxy]:
    """A proxy between the processes and S3."""
    async with FaultProxy.before(seaweedfs.endpoint).running() as running:
        yield running


@pytest_asyncio.fixture
async def cluster(make_cluster: MakeCluster, seaweedfs: SeaweedFs, proxy: FaultProxy) -> Cluster:
    """A cluster over a bucket, behind the proxy."""
    values: dict[str, Any] = {
        "storage": "s3",
        **seaweedfs.settings,
        "s3_prefix": f"faults-{uuid4().hex}/",
        "s3_endpoint": f"http://127.0.0.1:{proxy.port}",
        "s3_timeout_seconds": 0.5,
    }
    return await make_cluster(behind={"s3_endpoint": seaweedfs.endpoint}, **values)


async def test_while_s3_fails_publishes_wait_and_what_was_read_is_served(
    cluster: Cluster, promises: Promises, proxy: FaultProxy
) -> None:
    """Publishes get 503 with Retry-After; existing files are never "not found"; recovery is automatic."""
    writer, reader, _ = await cluster.start_all("write", "read", "worker")
    await promises.publish(writer.http, "hello", "0.0.0")
    await promises.publish(writer.http, "cold", "0.0.0")
    body = (await reader.http.get(f"{HELLO}?x07_refresh=1")).content
    for minor, fault in enumerate(some(FAULTS, 1), 1):
        proxy.inject(fault)
        answer = await promises.publish(writer.http, "hello", f"0.{minor}.0")
        assert answer is not None
        assert answer.status_code == 503, (fault, answer.text)
        stale = await reader.http.get(f"{HELLO}?x07_refresh=1")
        assert (stale.status_code, stale.content) == (200, body), fault
        assert stale.headers["x-x07-stale"] == "true"
        cold = await reader.http.get("/v1/packages/cold/0.0.0/download")
        assert cold.status_code == 503, (fault, cold.text)
        assert int(cold.headers["retry-after"]) > 0
        proxy.heal()
        promises.healed()
        promises.tally.faults += 1
        await promises.publish_again(writer.http, "hello", f"0.{minor}.0")
        await promises.until_published()
        fresh = await reader.http.get(f"{HELLO}?x07_refresh=1")
        assert "x-x07-stale" not in fresh.headers
        body = fresh.content
    await promises.are_kept(reader.http)


async def test_s3_failing_at_any_request_of_a_publish_leaves_nothing_half_done(
    cluster: Cluster, promises: Promises, proxy: FaultProxy
) -> None:
    """The n-th request and some after it fail: in the publish, in the publication, in the catalog."""
    writer, reader, _ = await cluster.start_all("write", "read", "worker")
    for minor, place in enumerate(some(range(REQUESTS), PLACES)):
        fault = random.choice(FAULTS)
        proxy.inject(fault, times=MANY, after=place)
        answer = await promises.publish(writer.http, "hello", f"0.{minor}.0")
        assert answer is not None
        assert answer.status_code in (200, 503), (fault, place, answer.text)
        promises.tally.faults += proxy.strikes
        proxy.heal()
        promises.healed()
        await promises.publish_again(writer.http, "hello", f"0.{minor}.0")
    await promises.are_kept(reader.http)


@pytest.mark.parametrize("fault", [Cut(300_000), Hang(300_000)], ids=str)
async def test_an_archive_that_s3_breaks_off_never_looks_whole(
    cluster: Cluster, promises: Promises, proxy: FaultProxy, fault: Fault
) -> None:
    """The download fails as a transfer, so that no client mistakes half an archive for the whole."""
    writer, reader, _ = await cluster.start_all("write", "read", "worker")
    answer = await promises.publish(writer.http, "big", "0.1.0", archive=_large_archive("big", "0.1.0"))
    assert answer is not None
    assert answer.status_code == 200, answer.text
    await promises.until_published()
    proxy.inject(fault)
    promises.tally.faults += 1
    try:
        answer = await reader.http.get("/v1/packages/big/0.1.0/download")
    except httpx.TransportError:
        pass
    else:
        assert answer.status_code == 503
    proxy.heal()
    assert await archive_sha256(reader.http, "big", "0.1.0") == promises.acknowledged["big", "0.1.0"]
    await promises.are_kept(reader.http)


def _large_archive(name: str, version: str) -> bytes:
    """An archive of 900 kB, made large by a module, because fields of the manifest are limited."""
    manifest = hello_manifest(name, version)
    module = hello_module()
    module["decls"][1]["body"] = ["bytes.lit", random.randbytes(450_000).hex()]
    (path,) = listed_files(manifest)
    return build_archive(manifest, {path: json_bytes(module)})
