"""The previous release works on this release's schema, because upgrades begin with the migration."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
from functools import partial
from pathlib import Path

import pytest

from tests.deploy.expansion import breaking_migrations, revisions
from tests.deploy.forked_commands import run
from tests.faults.cluster import Cluster
from tests.faults.previous_release import ROOT, FromTree, NoHistory, unpack_previous_release
from tests.faults.promises import Promises
from tests.faults.servers import Servers
from tests.loud import say_loudly

NOT_RUN = "THE RELEASE BEFORE WAS NOT RUN ON THE NEW SCHEMA, only the schema was judged"
ROW = "the release before serves on the migrated schema, alone and beside this one"


@pytest.mark.timeout(240)  # it starts processes of another tree without forking
async def test_servers_of_the_release_before_work_on_the_new_schema(
    cluster: Cluster, promises: Promises, servers: Servers, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """First they run alone, as after `migrate`; then beside new ones, as during a rolling upgrade.

    After the upgrade, `reindex` writes what the older worker did not know, as the changelog tells operators.

    Without the history, only the schema is checked, and the run says so.
    """
    try:
        previous = unpack_previous_release(tmp_path)
    except NoHistory as reason:
        say_loudly(
            request,
            f"THE RELEASE BEFORE WAS NOT RUN ON THE NEW SCHEMA: {reason}. Only the schema was judged.",
        )
        await servers.sql("CREATE DATABASE judged TEMPLATE template0")
        assert await breaking_migrations(servers.postgres.url_of("judged")) == {}
        return
    assert previous.revision < revisions()[-1]
    launch = partial(FromTree, previous.tree)
    writer, reader, worker = [
        await cluster.start(kind, launch=launch) for kind in ("write", "read", "worker")
    ]
    for version in ("0.1.0", "0.2.0"):
        answer = await promises.publish(writer.http, "hello", version)
        assert answer is not None
        assert answer.status_code == 200, answer.text
    await promises.are_served(reader.http)
    new_writer, new_reader, _ = await cluster.start_all("write", "read", "worker")
    for number in range(6):
        http = (writer, new_writer)[number % 2].http
        answer = await promises.publish(http, "hello", f"1.{number}.0")
        assert answer is not None
        assert answer.status_code == 200, answer.text
    for http in (reader.http, new_reader.http):
        await promises.are_served(http)
    await worker.child.stop()
    reindexed = await asyncio.to_thread(
        run, "reindex", **cluster.variables()
    )  # files that the old worker lacks
    assert reindexed.returncode == 0, reindexed.stderr
    await promises.are_kept(new_reader.http)


def test_the_release_before_is_the_one_without_the_newest_migration(tmp_path: Path) -> None:
    """Its tree has the migrations up to its own revision, and none that a later commit added."""
    try:
        previous = unpack_previous_release(tmp_path)
    except NoHistory:
        return
    known = [path.name[:4] for path in (previous.tree / "deploy/migrations/versions").glob("[0-9]*.py")]
    assert sorted(known) == [revision for revision in revisions() if revision <= previous.revision]
    assert previous.revision < revisions()[-1]


@pytest.mark.parametrize("depth", [None, 1], ids=["no repository", "a shallow clone"])
def test_a_checkout_without_history_is_told_apart(tmp_path: Path, depth: int | None) -> None:
    """It must not pass for a tested release."""
    checkout = tmp_path / "checkout"
    shutil.copytree(ROOT / "deploy" / "migrations", checkout / "deploy" / "migrations")
    if depth is not None:
        git = ("git", "-c", "user.name=t", "-c", "user.email=t@example.invalid", "-C", checkout)
        for arguments in (("init", "-q"), ("add", "-A"), ("commit", "-q", "-m", "All there is")):
            subprocess.run([*git, *arguments], check=True)
    with pytest.raises(NoHistory):
        unpack_previous_release(tmp_path, checkout)
