"""Two writers, two readers, two workers and nginx, from the shipped files, on Postgres, Valkey and S3."""

from __future__ import annotations

import asyncio
import signal
from base64 import b64encode
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import pytest
import pytest_asyncio

from shared.settings import Settings
from tests.cluster.shipped import COMPOSE, Cluster, Part
from tests.cluster.traffic import PACKAGES, Traffic, index_path
from tests.conftest import SIGNING
from tests.deploy.image import Image, built_image
from tests.edge.nginx import free_port, running_nginx
from tests.seaweedfs import SeaweedFs
from tests.stack import eventually

TIERS = ("write", "write", "read", "read", "worker", "worker")
UNDER_LOAD_S = 4.0


@pytest.fixture(scope="module")
def image() -> Iterator[Image]:
    """The image's layout."""
    with built_image() as image:
        yield image


@dataclass
class Running:
    """The cluster behind its edge. token: for publishing."""

    cluster: Cluster
    url: str
    token: str

    def of(self, service: str) -> list[Part]:
        """The running processes of a service."""
        parts = [part for part in self.cluster.parts if part.service == service]
        return [part for part in parts if part.process.poll() is None]


@pytest_asyncio.fixture(scope="module")
async def running(
    image: Image,
    postgres: Any,
    valkey: Any,
    seaweedfs: SeaweedFs,
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[Running]:
    """Start the cluster in the order of the compose file: migration, two of each service, edge."""
    directory: Path = tmp_path_factory.mktemp("cluster")
    connection = await asyncpg.connect(postgres.url)
    await connection.execute("CREATE DATABASE cluster")
    await connection.close()
    port = free_port()
    places = {
        "X07_REGISTRY_DATABASE_URL": postgres.url_of("cluster"),
        "X07_REGISTRY_REDIS_URL": valkey.url,
        "X07_REGISTRY_REDIS_NAMESPACE": "cluster",
        "X07_REGISTRY_PUBLIC_BASE": f"http://127.0.0.1:{port}",
        "X07_REGISTRY_METRICS_BIND": "127.0.0.1:0",
        "X07_REGISTRY_S3_PREFIX": "cluster",
        "X07_REGISTRY_PKG_SIGNING_PUBLIC_KEY_B64": _public_key(),
        # All load of this test comes from one address.
        "X07_REGISTRY_TRUSTED_PROXIES": "127.0.0.1/32",
        **{
            f"X07_REGISTRY_{name.upper()}": str(value)
            for name, value in (seaweedfs.settings | SIGNING).items()
        },
    }
    cluster = Cluster(image, places, directory)
    try:
        assert cluster.run(*COMPOSE["services"]["migrate"]["command"], service="migrate")[0] == 0
        made = cluster.run("token", "create", "--handle", "ci", "--scopes", "publish,admin", service="write")
        status, token = made
        assert status == 0, token
        parts = await asyncio.gather(*(cluster.start(service) for service in TIERS))
        writes, reads = [part.address for part in parts[:2]], [part.address for part in parts[2:4]]
        async with running_nginx(directory / "edge", reads, writes, port) as url:
            yield Running(cluster, url, token.split()[-1])
    except BaseException:
        for part in cluster.parts:
            print(f"--- {part.log.name}\n{part.log.read_text()[-3000:]}")
        raise
    finally:
        cluster.close()


def _public_key() -> str:
    key = Settings(**SIGNING).signing_public_key()
    assert key is not None
    return b64encode(key[1]).decode()


async def etags(part: Part) -> dict[str, str]:
    """The ETag of each package's index file at one reader, bypassing caches."""
    async with httpx.AsyncClient(base_url=f"http://{part.address}", timeout=30) as http:
        answers = {name: await http.get(f"{index_path(name)}?x07_refresh=1") for name in PACKAGES}
    assert {answer.status_code for answer in answers.values()} == {200}
    return {name: answer.headers["etag"] for name, answer in answers.items()}


async def test_one_of_each_role_is_killed_and_nobody_notices(running: Running) -> None:
    """No read fails, publishes succeed at the second try at the latest, and rows and storage agree."""
    traffic = Traffic(running.url, running.token)
    async with httpx.AsyncClient(base_url=running.url, timeout=60) as http:
        await asyncio.gather(*(traffic.publish(http, name, "1.0.0") for name in PACKAGES))
    one, other = running.of("read")
    assert await etags(one) == await etags(other)
    stop = asyncio.Event()
    load = asyncio.create_task(traffic.run(stop))
    for service in ("worker", "write", "read"):
        await asyncio.sleep(UNDER_LOAD_S)
        before = sum(map(len, traffic.published.values()))
        victim = running.of(service)[0]
        victim.stop(signal.SIGKILL)
        await eventually(lambda before=before: _more(traffic, before), 60)
        await running.cluster.start(service, victim.address)
    stop.set()
    await load
    assert traffic.failed_reads == []
    assert traffic.failed_publishes == []
    count = sum(map(len, traffic.published.values()))
    print(f"{traffic.reads} reads, {count} publishes, tried again: {traffic.retried or 'none'}")
    await nothing_waits(running)
    await everything_agrees(running, traffic)


async def _more(traffic: Traffic, before: int) -> bool:
    return sum(map(len, traffic.published.values())) > before


async def nothing_waits(running: Running) -> None:
    """True if every change is published and in the catalog."""

    async def is_done() -> bool:
        worker = running.of("worker")[0]
        waiting = [await worker.count(name) for name in ("x07_dirty_packages", "x07_catalog_behind_seconds")]
        return waiting == [0, 0]

    await eventually(is_done, 60)


async def everything_agrees(running: Running, traffic: Traffic) -> None:
    """Readers agree with each other, and rows with storage; the doctor finds nothing."""
    readers = [await etags(part) for part in running.of("read")]
    assert all(one == readers[0] for one in readers)
    async with httpx.AsyncClient(base_url=running.url, timeout=60) as http:
        for name, versions in traffic.published.items():
            lines = (await http.get(f"{index_path(name)}?x07_refresh=1")).text.splitlines()
            for version in versions:  # beside the versions of other tests
                assert sum(f'"version":"{version}"' in line for line in lines) == 1, (name, version)
    for command in ("verify", "doctor"):
        status, said = running.cluster.run(command)
        assert status == 0, said


async def test_publishes_are_spread_over_both_writers(running: Running) -> None:
    """Whichever writer handled a publish, both readers have it, with one ETag."""
    traffic = Traffic(running.url, running.token)
    before = [await part.count("x07_changes_total") for part in running.of("write")]
    async with httpx.AsyncClient(base_url=running.url, timeout=60) as http:
        for minor in range(4):
            await asyncio.gather(*(traffic.publish(http, name, f"2.{minor}.0") for name in PACKAGES))
    assert traffic.failed_publishes == []
    assert traffic.retried == []
    after = [await part.count("x07_changes_total") for part in running.of("write")]
    taken = [later - earlier for earlier, later in zip(before, after, strict=True)]
    assert all(count > 0 for count in taken), taken
    assert sum(taken) == 4 * len(PACKAGES)
    one, other = running.of("read")
    assert await etags(one) == await etags(other)


@pytest.mark.parametrize(
    ("variable", "value", "check"),
    [
        ("X07_REGISTRY_DATABASE_URL", "postgres://x@127.0.0.1:1/x", "database"),
        ("X07_REGISTRY_REDIS_URL", "redis://127.0.0.1:1/0", "redis"),
        ("X07_REGISTRY_S3_ENDPOINT", "http://127.0.0.1:1", "storage"),
    ],
)
async def test_the_doctor_names_the_dependency_that_is_broken(
    running: Running, variable: str, value: str, check: str
) -> None:
    """The doctor exits with 1, names the failed check and says how to repair it."""
    status, said = running.cluster.run("doctor", **{variable: value})
    assert status == 1
    failed = [line for line in said.splitlines() if line.startswith("failed")]
    assert any(check in line.lower() for line in failed), said
    assert " fix: " in said
