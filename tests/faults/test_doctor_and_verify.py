"""`doctor` and `verify` report a broken dependency, and nothing else; each one is broken in turn.

The faults are real: servers are stopped, networks are cut off, a key is replaced.
"""

from __future__ import annotations

import asyncio
import json
from base64 import b64encode
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from uuid import uuid4

import pytest_asyncio

from deploy.local.postgres import EmbeddedPostgres
from deploy.local.valkey import EmbeddedValkey
from shared.host_port import HostPort, parse_host_port
from tests.archives import hello_archive
from tests.conftest import SIGNING
from tests.deploy.forked_commands import Answer, run
from tests.fault_proxy import FaultProxy, Refuse
from tests.faults.cluster import Cluster, Process
from tests.faults.conftest import MakeCluster
from tests.faults.promises import DIRTY
from tests.faults.servers import Servers
from tests.github_server import CLIENT_ID, CLIENT_SECRET, GithubServer
from tests.seaweedfs import SeaweedFs
from tests.stack import Registry, eventually, serving

OTHER_KEY = {"pkg_signing_ed25519_secret_b64": b64encode(bytes(range(1, 33))).decode()}


@dataclass
class World:
    """A running registry, and proxies in front of its network dependencies."""

    cluster: Cluster
    s3: FaultProxy
    github: FaultProxy
    public_base: FaultProxy

    async def doctor(self, **overrides: str) -> tuple[int, set[str]]:
        """Exit status of `doctor`, and its failed checks, which have advice and no secrets."""
        answer = await self._run("doctor", "--json", **overrides)
        checks = [check for check in json.loads(answer.stdout)["checks"] if check["status"] == "failed"]
        assert all(check["mend"] for check in checks)
        assert CLIENT_SECRET not in answer.stdout
        return answer.returncode, {check["check"] for check in checks}

    async def verify(self, **overrides: str) -> tuple[int, str]:
        """Exit status of `verify`, and its last line."""
        answer = await self._run("verify", **overrides)
        assert "Traceback" not in answer.stderr
        return answer.returncode, (answer.stdout + answer.stderr).splitlines()[-1]

    async def _run(self, *arguments: str, **overrides: str) -> Answer:
        return await asyncio.to_thread(run, *arguments, **self.cluster.variables(**overrides))


@pytest_asyncio.fixture
async def world(make_cluster: MakeCluster, seaweedfs: SeaweedFs) -> AsyncIterator[World]:
    """A registry with one signed version, whose parts are all configured and work."""
    github, reader = GithubServer(), list[Process]()
    async with AsyncExitStack() as stack:
        github.url = await stack.enter_async_context(serving(github.app))
        s3, to_github, public_base = [
            await stack.enter_async_context(proxy.running())
            for proxy in (
                FaultProxy.before(seaweedfs.endpoint),
                FaultProxy.before(github.url),
                FaultProxy(lambda: asyncio.open_connection(*address_of(reader[0]))),
            )
        ]
        cluster = await make_cluster(
            behind={"s3_endpoint": seaweedfs.endpoint},
            storage="s3",
            **{**seaweedfs.settings, "s3_endpoint": f"http://127.0.0.1:{s3.port}"},
            s3_prefix=f"faults-{uuid4().hex}/",
            s3_timeout_seconds=0.5,
            public_base=f"http://127.0.0.1:{public_base.port}",
            github_client_id=CLIENT_ID,
            github_client_secret=CLIENT_SECRET,
            github_authorize_base=f"http://127.0.0.1:{to_github.port}",
            github_api_base=f"http://127.0.0.1:{to_github.port}",
            session_cookie_secure=False,
            **SIGNING,
        )
        write, read, _ = await cluster.start_all("write", "read", "worker")
        reader.append(read)
        publisher = await cluster.registry.add_publisher()
        answer = await write.http.post("/v1/packages/publish", content=hello_archive(), headers=publisher)
        assert answer.status_code == 200
        await eventually(lambda: _is_settled(cluster.registry))
        yield World(cluster, s3, to_github, public_base)


def address_of(process: Process) -> HostPort:
    """The address of a process."""
    return parse_host_port(process.http.base_url.netloc.decode())


async def _is_settled(registry: Registry) -> bool:
    return not (await registry.rows(DIRTY))[0].dirty


@asynccontextmanager
async def stopped(server: EmbeddedPostgres | EmbeddedValkey) -> AsyncIterator[None]:
    """Nothing listens at the server's address."""
    await server.stop()
    try:
        yield
    finally:
        await server.start()


@asynccontextmanager
async def cut_off(proxy: FaultProxy) -> AsyncIterator[None]:
    """Connections are closed as soon as a client sends something."""
    proxy.inject(Refuse())
    try:
        yield
    finally:
        proxy.heal()


async def test_each_dependency_that_is_broken_is_named(world: World, servers: Servers) -> None:
    """doctor names only this one; verify fails with one line if it needs the dependency, else it works."""
    assert await world.doctor() == (0, set())
    assert await world.verify() == (0, "no difference")
    high_water = "database against storage"
    of_postgres = {"database", "clock of the database", "signing key", high_water}
    for fault, checks, status, told in (
        (stopped(servers.postgres), of_postgres, 1, "database unavailable"),
        (stopped(servers.valkey), {"redis"}, 0, "no difference"),
        (cut_off(world.s3), {"storage", high_water}, 1, "storage unavailable"),
        (cut_off(world.public_base), {"public base"}, 0, "no difference"),
        (cut_off(world.github), {"github"}, 0, "no difference"),
    ):
        async with fault:
            doctor, (ended, said) = await asyncio.gather(world.doctor(), world.verify())
            assert doctor == (1, checks)
            assert (ended, told in said) == (status, True), said
    assert await world.doctor() == (0, set())
    assert await world.verify() == (0, "no difference")
    # A secret that was replaced under its old id: clients would refuse the signatures.
    assert await world.doctor(**OTHER_KEY) == (1, {"signing key", "public base"})
    assert await world.verify(**OTHER_KEY) == (1, "2 differences")  # config.json, and the signature
