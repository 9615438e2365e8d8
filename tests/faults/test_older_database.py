"""A database older than storage: restored from a dump, or a standby that lagged behind."""

from __future__ import annotations

import asyncio
from urllib.parse import urlsplit

import pytest

from tests.archives import hello_archive
from tests.deploy.forked_commands import run
from tests.faults.cluster import Cluster, Process, open_cluster
from tests.faults.promises import Promises, index_lines
from tests.faults.servers import Servers
from tests.faults.watching import watching
from tests.stack import eventually

ROW = "a database older than the published tree: restored, or a standby that lagged"
SENTENCE = "the database is older than the published tree"
OTHER_BYTES = hello_archive("hello", "0.2.0", description="Says something else.")

pytestmark = pytest.mark.parametrize("cluster", ["fs", "s3"], indirect=True)


async def test_a_restore_in_which_everything_is_started_takes_nothing_from_readers(
    cluster: Cluster, promises: Promises, servers: Servers
) -> None:
    """Writers and workers refuse to work and say why, the doctor says what to do, and readers still work."""
    older = await older_copy(cluster, promises, servers)
    writer, worker = await cluster.start_all("write", "worker")
    await publish(promises, writer, "hello", "0.2.0")
    await publish(promises, writer, "world", "1.0.0")
    await promises.until_published()
    await end(writer, worker)
    promises.tally.faults += 1
    directory = cluster.logs()[0].parent / "restored"
    directory.mkdir()
    async with open_cluster({**cluster.values, "database_url": older}, directory) as restored:
        writer, reader, worker = await restored.start_all("write", "read", "worker")
        promises.cluster = restored
        async with watching(reader, "hello"), watching(reader, "world"):
            await is_told(restored, promises, writer, worker)
            assert set(await index_lines(reader.http, "hello")) == {"0.1.0", "0.2.0"}
            await goes_on(restored, promises, writer, reader)


async def test_a_standby_that_lagged_takes_nothing_from_readers(
    cluster: Cluster, promises: Promises, servers: Servers
) -> None:
    """It is promoted while everything runs, and does not know a catalog that was published."""
    older = await older_copy(cluster, promises, servers)
    writer, reader, worker = await cluster.start_all("write", "read", "worker")
    await publish(promises, writer, "hello", "0.2.0")
    await promises.until_published()
    async with watching(reader, "hello"):
        await take_over(cluster, servers, older)
        promises.tally.faults += 1
        await eventually(lambda: is_standing_still(writer))
        await is_told(cluster, promises, writer, worker)
        await goes_on(cluster, promises, writer, reader)


async def test_a_standby_that_lagged_by_less_than_a_catalog_takes_nothing_from_readers(
    cluster: Cluster, promises: Promises, servers: Servers
) -> None:
    """Only the files themselves show it: versions that they list without a row stay in them."""
    older = await older_copy(cluster, promises, servers)
    writer, reader = await cluster.start_all("write", "read", publish_wait_seconds=0)
    worker = await cluster.start("worker", catalog_debounce_seconds=60)
    await publish(promises, writer, "hello", "0.2.0")
    await eventually(lambda: lists(reader, "0.2.0"))
    async with watching(reader, "hello"):
        await take_over(cluster, servers, older)
        promises.tally.faults += 1
        answer = await promises.publish(writer.http, "hello", "0.2.0", archive=OTHER_BYTES)
        assert answer is not None
        assert answer.json()["code"] == "X07REG_ALREADY_PUBLISHED", answer.text
        await publish(promises, writer, "hello", "0.3.0")
        await worker.until_logged(SENTENCE)
        await worker.kill()
        await cluster.start("worker")
        await goes_on(cluster, promises, writer, reader, in_doubt=1)  # 0.3.0 is not listed anywhere yet


async def older_copy(cluster: Cluster, promises: Promises, servers: Servers) -> str:
    """The URL of a copy of the database with one version of hello; no process runs any more."""
    writer, worker = await cluster.start_all("write", "worker")
    await publish(promises, writer, "hello", "0.1.0")
    await promises.until_published()
    await end(writer, worker)
    await cluster.registry.database.close()
    return await servers.new_database(template=database_of(cluster.registry.settings.database_url))


async def take_over(cluster: Cluster, servers: Servers, standby: str) -> None:
    """Replace the cluster's database with the standby's, under the same name."""
    await cluster.registry.database.close()
    name = database_of(cluster.registry.settings.database_url)
    for statement in (
        f"ALTER DATABASE {name} ALLOW_CONNECTIONS false",
        f"SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE datname = '{name}'",  # noqa: S608 - ours
        f"ALTER DATABASE {name} RENAME TO {name}_lost",
        f"ALTER DATABASE {database_of(standby)} RENAME TO {name}",
    ):
        await servers.sql(statement)


async def is_told(cluster: Cluster, promises: Promises, writer: Process, worker: Process) -> None:
    """Fail unless writer, worker and doctor report the older database, and nothing is published."""
    for archive in (OTHER_BYTES, None):
        answer = await promises.publish(writer.http, "hello", "0.2.0", archive=archive)
        assert answer is not None
        assert answer.status_code == 503
        assert SENTENCE in answer.json()["message"]
    await worker.until_logged(SENTENCE)
    doctor = await asyncio.to_thread(run, "doctor", **cluster.variables())
    assert SENTENCE in doctor.stdout
    assert "rebuild-from-tree" in doctor.stdout


async def goes_on(
    cluster: Cluster, promises: Promises, writer: Process, reader: Process, in_doubt: int = 0
) -> None:
    """Follow the doctor's advice while everything runs; every promise must then hold."""
    promises.healed()
    rebuilt = await asyncio.to_thread(run, "rebuild-from-tree", **cluster.variables())
    assert rebuilt.returncode == in_doubt, rebuilt.stdout + rebuilt.stderr
    await eventually(lambda: is_ready(writer))
    answer = await promises.publish(writer.http, "hello", "0.2.0", archive=OTHER_BYTES)
    assert answer is not None
    assert answer.status_code == 409, answer.text
    await publish(promises, writer, "hello", "0.4.0")
    await promises.are_kept(reader.http)
    verified = await asyncio.to_thread(run, "verify", "--deep", **cluster.variables())
    assert verified.returncode == 0, verified.stdout


async def publish(promises: Promises, writer: Process, name: str, version: str) -> None:
    """Publish a version, which is acknowledged."""
    answer = await promises.publish(writer.http, name, version)
    assert answer is not None
    assert answer.status_code == 200, answer.text


async def lists(reader: Process, version: str) -> bool:
    """True if hello's index file has the version."""
    return version in await index_lines(reader.http, "hello")


async def is_ready(process: Process) -> bool:
    """True if the process reports that it is ready."""
    return (await process.http.get("/readyz")).status_code == 200


async def is_standing_still(process: Process) -> bool:
    """True if the process has noticed that its database is older than storage."""
    ready = await process.http.get("/readyz")
    return not ready.json()["dependencies"]["high_water"]["ok"]


async def end(*processes: Process) -> None:
    """End processes with SIGKILL."""
    await asyncio.gather(*(process.close() for process in processes))


def database_of(url: object) -> str:
    """The name of the database in a URL."""
    text = url.get_secret_value() if hasattr(url, "get_secret_value") else str(url)
    return urlsplit(text).path.removeprefix("/")
