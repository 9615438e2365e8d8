"""A registry of three processes after a little use: one of each role, with an address for operators."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio

from shared.http.authorities import trusted_authorities
from tests.archives import hello_archive
from tests.faults.cluster import Cluster, Kind, Process, open_cluster
from tests.observability.collector import Collector, running_collector
from tests.stack import eventually

ROLES: tuple[Kind, ...] = ("write", "read", "worker")


@dataclass
class Roles:
    """The processes by role, and their addresses for operators."""

    cluster: Cluster
    processes: dict[str, Process]
    operations: dict[str, str]
    collector: Collector

    async def metrics(self, role: str) -> str:
        """The present text of the role's /metrics."""
        async with httpx.AsyncClient(
            base_url=self.operations[role], timeout=60, verify=trusted_authorities()
        ) as http:
            answer = await http.get("/metrics")
        assert answer.status_code == 200
        return answer.text

    def log(self, role: str, event: str) -> list[dict[str, Any]]:
        """The events of this name in a role's log."""
        return [line for line in events(self.processes[role]) if line.get("event") == event]


def events(process: Process) -> list[dict[str, Any]]:
    """Every JSON line of a process's log, without the command line's own messages."""
    lines = process.log.read_text().splitlines()
    return [json.loads(line) for line in lines if line.startswith("{")]


async def operations_url(process: Process) -> str:
    """The address for operators that a process prints."""

    async def said() -> list[dict[str, Any]]:
        return [line for line in events(process) if line["event"] == "operations_listening"]

    line = (await eventually(said, 30))[0]
    return f"http://{line['host']}:{line['port']}"


@pytest_asyncio.fixture(scope="session")
async def roles(
    new_database: Callable[[], Awaitable[str]], valkey: Any, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Roles]:
    """One process of each role, after one publish, a few reads and a refusal."""
    directory: Path = tmp_path_factory.mktemp("observed")
    async with running_collector() as collector:
        values = {
            "database_url": await new_database(),
            "redis_url": valkey.url,
            "redis_namespace": directory.name,
            "data_dir": directory / "tree",
            "catalog_debounce_seconds": 0.02,
            "metrics_bind": "127.0.0.1:0",
            "access_log": "on",
            "otlp_endpoint": collector.url,
        }
        async with open_cluster(values, directory) as cluster:
            processes = dict(zip(ROLES, await cluster.start_all(*ROLES), strict=True))
            operations = {role: await operations_url(process) for role, process in processes.items()}
            running = Roles(cluster, processes, operations, collector)
            await use(running)
            yield running


async def use(roles: Roles) -> None:
    """Use every role a little."""
    write, read = roles.processes["write"].http, roles.processes["read"].http
    headers = await roles.cluster.registry.add_publisher("octo")
    published = await write.post("/v1/packages/publish", content=hello_archive(), headers=headers)
    assert (published.status_code, published.headers["x-x07-index-published"]) == (200, "true")
    again = await write.post("/v1/packages/publish", content=hello_archive(), headers=headers)
    assert again.status_code == 409
    for path in ("/index/he/ll/hello", "/index/he/ll/hello", "/v1/packages/hello/0.1.0/download"):
        assert (await read.get(path)).status_code == 200
    assert (await read.get("/index/no/th/nothing")).status_code == 404
