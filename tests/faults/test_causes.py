"""The log and the command line say why storage or the database refused a request."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest

from tests.archives import hello_archive
from tests.deploy.forked_commands import run
from tests.faults.cluster import Cluster, Process
from tests.faults.conftest import MakeCluster
from tests.faults.disks import fill, remount, small_disk
from tests.faults.servers import Servers
from tests.seaweedfs import SeaweedFs
from tests.stack import eventually


async def told(process: Process, event: str, **fields: Any) -> dict[str, Any]:
    """The only line of a process's log with this event and these fields."""

    async def found() -> list[dict[str, Any]]:
        lines = [json.loads(line) for line in process.log.read_text().splitlines() if line.startswith("{")]
        return [line for line in lines if line["event"] == event and fields.items() <= line.items()]

    lines = await eventually(found)
    assert len(lines) == 1, lines
    return lines[0]


async def refused(cluster: Cluster, writer: Process, status: int = 503) -> str:
    """Publish and be refused. Returns the request's id."""
    headers = await cluster.registry.add_publisher()
    answer = await writer.http.post("/v1/packages/publish", content=hello_archive(), headers=headers)
    assert answer.status_code == status, answer.text
    return str(answer.json()["request_id"])


@pytest.mark.parametrize(
    ("spoil", "code", "cause"),
    [
        (lambda disk: remount(disk, "ro"), "EROFS", "Read-only file system"),
        (fill, "ENOSPC", "No space left on device"),
    ],
)
async def test_what_a_disk_refused_stands_in_the_log(
    make_cluster: MakeCluster, tmp_path: Path, spoil: Callable[[Path], object], code: str, cause: str
) -> None:
    """The log has the name of the system's error and its text."""
    with small_disk(tmp_path / "disk", size_kib=4096) as disk:
        cluster = await make_cluster(data_dir=disk)
        writer = await cluster.start("write")
        spoil(disk)
        request_id = await refused(cluster, writer)
        line = await told(writer, "storage_error", request_id=request_id)
        assert (line["level"], line["code"]) == ("warning", code)
        assert line["operation"] in ("receive", "put_file")
        assert cause in line["cause"]
        await cluster.close()


@pytest.mark.parametrize(
    ("wrong", "code"),
    [
        ({"s3_access_key_id": "nobody"}, "InvalidAccessKeyId"),
        ({"s3_secret_access_key": "wrong"}, "SignatureDoesNotMatch"),
    ],
)
async def test_what_s3_refused_stands_in_the_log(
    make_cluster: MakeCluster, seaweedfs: SeaweedFs, wrong: dict[str, str], code: str
) -> None:
    """The log has S3's error code and the requested key; the command line also has its message."""
    values = {"storage": "s3", "s3_prefix": f"causes-{uuid4().hex}/", **seaweedfs.settings, **wrong}
    cluster = await make_cluster(**values)
    writer = await cluster.start("write")
    line = await told(writer, "storage_error", request_id=await refused(cluster, writer, 500))
    assert (line["level"], line["operation"], line["code"]) == ("warning", "head", code)
    assert line["key"] == "index/catalog.json"
    answer = await asyncio.to_thread(run, "gc", **cluster.variables())
    assert code in answer.stderr.splitlines()[-1], answer.stderr


async def test_what_the_database_refused_stands_in_the_log(
    make_cluster: MakeCluster, servers: Servers
) -> None:
    """The log has the SQLSTATE, the server's message, and the ids of all publishes in the transaction."""
    cluster = await make_cluster()
    writer = await cluster.start("write")
    headers = await cluster.registry.add_publisher()
    url = str(cluster.values["database_url"])
    await servers.sql("ALTER TABLE package_versions RENAME TO hidden", url)
    answers = await asyncio.gather(
        *(
            writer.http.post("/v1/packages/publish", content=hello_archive(), headers=headers)
            for _ in range(2)
        )
    )
    for answer in answers:
        assert answer.status_code == 503, answer.text
        await told_of_batch(writer, answer)


async def told_of_batch(writer: Process, answer: httpx.Response) -> None:
    """The log's entry for the failed batch of this request."""

    async def found() -> list[dict[str, Any]]:
        lines = [json.loads(line) for line in writer.log.read_text().splitlines() if line.startswith("{")]
        return [line for line in lines if answer.json()["request_id"] in line.get("request_ids", ())]

    line = (await eventually(found))[0]
    assert (line["event"], line["sqlstate"]) == ("database_error", "42P01")
    assert line["cause"] == 'relation "package_versions" does not exist'
    assert "request_id" not in line


async def test_the_command_line_says_why_the_database_refused(servers: Servers) -> None:
    """It prints the server's message and, if one command repairs it, that command."""
    await servers.sql("CREATE DATABASE empty_one")
    url = servers.postgres.url_of("empty_one")
    unmigrated = await asyncio.to_thread(run, "user", "list", X07_REGISTRY_DATABASE_URL=url)
    assert unmigrated.returncode == 1
    assert unmigrated.stderr.splitlines()[-1] == (
        'x07-registry: database unavailable: relation "users" does not exist; '
        "run `x07-registry migrate` (X07REG_UNAVAILABLE)"
    )
    for wrong, cause in (
        (url.replace("postgres@", "nobody@"), 'role "nobody" does not exist'),
        (f"{url}&sslmoed=require", 'unrecognized configuration parameter "sslmoed"'),
        (url.replace("empty_one", "no_such_one"), 'database "no_such_one" does not exist'),
        ("postgres://127.0.0.1:1/x", "Connect call failed ('127.0.0.1', 1)"),
    ):
        answer = await asyncio.to_thread(run, "user", "list", X07_REGISTRY_DATABASE_URL=wrong)
        assert answer.returncode == 1
        assert cause in answer.stderr.splitlines()[-1], answer.stderr
