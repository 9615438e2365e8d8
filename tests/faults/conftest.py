"""Servers for fault tests only, which may be restarted, filled and cut off; clusters over them."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import pytest_asyncio

from tests.faults.cluster import Cluster, open_cluster
from tests.faults.promises import Promises
from tests.faults.servers import Servers
from tests.faults.tally import Tally
from tests.s3_proxy import S3Proxy
from tests.seaweedfs import SeaweedFs

MakeCluster = Callable[..., Awaitable[Cluster]]

_numbers = itertools.count(1)
HAS_FAILED = pytest.StashKey[bool]()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Note whether a test failed, so that its clusters tell what they were doing."""
    report = yield
    item.stash[HAS_FAILED] = report.failed
    return report


@pytest_asyncio.fixture(scope="session")
async def servers() -> AsyncIterator[Servers]:
    """Postgres and Valkey of the fault tests."""
    async with Servers.running() as running:
        yield running


@pytest_asyncio.fixture
async def make_cluster(
    servers: Servers, tmp_path: Path, request: pytest.FixtureRequest
) -> AsyncIterator[MakeCluster]:
    """Creates clusters without processes, each over an empty migrated registry."""
    async with AsyncExitStack() as stack:

        async def make(*, behind: dict[str, Any] | None = None, **overrides: Any) -> Cluster:
            number = next(_numbers)
            directory = tmp_path / f"cluster-{number}"
            directory.mkdir()
            values = {
                "database_url": await servers.new_database(),
                "redis_url": servers.valkey.url,
                "redis_namespace": f"faults-{number}",
                "data_dir": directory / "tree",
                "catalog_debounce_seconds": 0.02,
                "sweep_seconds": 0.5,
                "publish_wait_seconds": 20,
                "read_ttl_seconds": 0.5,
                "pages": "off",
                **overrides,
            }
            cluster = await stack.enter_async_context(open_cluster(values, directory, **(behind or {})))
            stack.push_async_callback(_tell_of_failure, cluster, request.node)
            return cluster

        yield make


async def _tell_of_failure(cluster: Cluster, test: pytest.Item) -> None:
    if test.stash.get(HAS_FAILED, False):
        await cluster.tell()


@pytest_asyncio.fixture
async def cluster(make_cluster: MakeCluster, request: pytest.FixtureRequest) -> Cluster:
    """A cluster without processes: over a directory, or over a bucket if the parameter is s3."""
    if getattr(request, "param", "fs") == "fs":
        return await make_cluster()
    seaweedfs: SeaweedFs = request.getfixturevalue("seaweedfs")
    return await make_cluster(storage="s3", s3_prefix=f"faults-{uuid4().hex}/", **seaweedfs.settings)


@pytest.fixture(params=["fs", "s3"])
def kind(request: pytest.FixtureRequest) -> str:
    """The storage of a cluster whose requests arrive late."""
    return str(request.param)


@pytest_asyncio.fixture
async def proxy(seaweedfs: SeaweedFs) -> AsyncIterator[S3Proxy]:
    """A proxy between the processes and S3."""
    async with S3Proxy(seaweedfs.endpoint).running() as running:
        yield running


@pytest.fixture
def make_late_cluster(
    make_cluster: MakeCluster, seaweedfs: SeaweedFs, proxy: S3Proxy, kind: str
) -> MakeCluster:
    """Makes clusters over a directory, or over a bucket behind the proxy. Publishes wait for no worker."""

    async def make(**overrides: Any) -> Cluster:
        values: dict[str, Any] = {"publish_wait_seconds": 0, **overrides}
        if kind == "fs":
            return await make_cluster(**values)
        values |= seaweedfs.settings | {"storage": "s3", "s3_prefix": f"faults-{uuid4().hex}/"}
        values["s3_endpoint"] = proxy.endpoint
        return await make_cluster(behind={"s3_endpoint": seaweedfs.endpoint}, **values)

    return make


@pytest.fixture
def tally(request: pytest.FixtureRequest) -> Iterator[Tally]:
    """The figures of the test's row, which its module names in ROW."""
    tally = Tally(request.module.ROW)
    yield tally
    tally.report()


@pytest_asyncio.fixture
async def promises(cluster: Cluster, tally: Tally) -> Promises:
    """The cluster's promises to one publisher."""
    return Promises(cluster, tally, await cluster.registry.add_publisher())
