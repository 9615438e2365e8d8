"""Processes start in any order, with a missing, partial or newer schema: they wait or explain."""

from __future__ import annotations

import asyncio
import time

import asyncpg
import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import Connection

from deploy.migrations.revision import newest_revision
from deploy.migrations.runner import migrate
from shared.database import Database
from shared.settings import Settings
from tests.faults.cluster import Cluster
from tests.faults.conftest import MakeCluster
from tests.faults.promises import Promises
from tests.faults.servers import Servers
from tests.faults.tally import Tally
from tests.stack import eventually

ROW = "all started together on empty or half-migrated state; two migrations; a newer schema"
HALF = "0002"


async def migrate_half(url: str) -> None:
    """Stop in the middle, like an older version of the program."""

    def upgrade(connection: Connection) -> None:
        config = Config()
        config.set_main_option("script_location", "deploy/migrations")
        config.attributes.update(connection=connection, schema="public")
        command.upgrade(config, HALF)

    database = Database(Settings(database_url=url))
    async with database.transaction() as tx:
        await tx.run_sync(upgrade)
    await database.close()


async def two_wait(cluster: Cluster) -> bool:
    """True when writer and worker have seen the schema and say that they wait."""
    return sum("waiting_for_migration" in log.read_text() for log in cluster.logs()) == 2


@pytest.mark.parametrize("is_half_migrated", [False, True])
async def test_everything_started_at_once_waits_for_the_migration(
    make_cluster: MakeCluster, servers: Servers, tally: Tally, is_half_migrated: bool
) -> None:
    """Two migrations run beside the starts; then everything works, and nothing was restarted."""
    url = await servers.new_database(template="template0")
    if is_half_migrated:
        await migrate_half(url)
    cluster = await make_cluster(database_url=url)
    starting = asyncio.create_task(cluster.start_all("write", "read", "worker"))
    tally.faults += 1
    await eventually(lambda: two_wait(cluster))
    await asyncio.gather(*(migrate(Settings(database_url=url)) for _ in range(2)))
    promises = Promises(cluster, tally, await cluster.registry.add_publisher())
    promises.healed()
    writer, reader, _ = await starting
    answer = await promises.publish(writer.http, "hello", "0.1.0")
    assert answer is not None
    assert answer.status_code == 200
    await promises.are_kept(reader.http)


async def test_without_a_migration_writers_and_workers_stop_and_say_what_to_run(
    make_cluster: MakeCluster, servers: Servers, tally: Tally
) -> None:
    """Within seconds, with one line and status 1; the database is unchanged. Readers do not need it."""
    url = await servers.new_database(template="template0")
    await migrate_half(url)
    cluster = await make_cluster(database_url=url)
    tally.tried += 1
    tally.faults += 1
    begun = time.monotonic()
    writing = asyncio.create_task(cluster.start("write"))
    reader, worker = await cluster.start_all("read", "worker")
    assert await worker.died() == "exit status 1"
    with pytest.raises(RuntimeError) as refused:
        await writing
    assert time.monotonic() - begun < 60
    line = (
        f"x07-registry: the database is at revision {HALF}, this program needs {newest_revision()}; "
        "run `x07-registry migrate`"
    )
    assert line in str(refused.value)
    assert line in worker.log.read_text()
    assert (await reader.http.get("/healthz")).status_code == 200
    connection = await asyncpg.connect(url)
    assert await connection.fetchval("SELECT version_num FROM alembic_version") == HALF
    await connection.close()


async def test_an_older_process_works_beside_a_newer_schema(
    cluster: Cluster, promises: Promises, servers: Servers
) -> None:
    """Migrations only add: an older process starts, and running ones continue while columns appear."""
    writer, reader, worker = await cluster.start_all("write", "read", "worker")
    await promises.publish(writer.http, "hello", "0.1.0")
    url = cluster.registry.settings.database_url.get_secret_value()
    for table in ("users", "tokens", "packages", "package_versions", "index_state", "version_state"):
        await servers.sql(f"ALTER TABLE {table} ADD COLUMN newer text NOT NULL DEFAULT 'x'", url)
    await servers.sql("UPDATE alembic_version SET version_num = '9999'", url)
    promises.tally.faults += 1
    for minor in range(2, 5):
        await promises.publish(writer.http, "hello", f"0.{minor}.0")
    newcomer = await cluster.start("write")
    await cluster.start("worker")
    for minor in range(1, 7):
        await promises.publish_again(newcomer.http, "hello", f"0.{minor}.0")
    await promises.are_kept(reader.http)
    assert worker.child.is_running
