"""The `log` commands and `verify` accept a sound log and report each kind of tampering."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from tests.archives import hello_archive
from tests.conftest import MakeSettings
from tests.deploy import commands, forked_commands
from tests.deploy.commands import variables_of
from tests.indexer.upkeep.walks import body_of, overwrite, settle
from tests.log.logs import LOGGING, ORIGIN, VKEY, log_six_entries, sequence
from tests.log.patience import wait_briefly
from tests.log.tampering import (
    ENTRIES,
    INDEX,
    LOG,
    TAMPERINGS,
    Tampering,
    Told,
    name_of,
    roll_the_log_back,
    sign_twice,
    swap_a_tile,
)
from tests.stack import Registry, eventually, running_registry

run = partial(forked_commands.run, prepare=wait_briefly)
document = partial(commands.document, prepare=wait_briefly)
YANK = "/v1/packages/hello/0.1.0/yank"


@pytest.fixture
def storage_settings(tmp_path: Path) -> dict[str, Any]:
    """A directory; the checks do not depend on the kind of storage."""
    return {"storage": "fs", "data_dir": tmp_path / "tree"}


@pytest_asyncio.fixture
async def registry(make_settings: MakeSettings) -> AsyncIterator[Registry]:
    """A registry with a log of two packages and yanks; no worker runs, because it would repair damage."""
    settings = await make_settings(publish_wait_seconds=0, **LOGGING)
    async with running_registry(settings, with_worker=False) as running:
        await log_six_entries(running)
        yield running


async def verified(
    registry: Registry, *arguments: str
) -> tuple[int, list[tuple[str, str | None, str | None]]]:
    """Exit status of `log verify`, and kind, package and version of each difference."""
    variables = variables_of(registry.settings)
    status, report = await asyncio.to_thread(document, "log", "verify", *arguments, **variables)
    found = [(one["kind"], one.get("package"), one.get("version")) for one in report["findings"]]
    return status, found


async def test_a_sound_log_is_accepted_in_storage_and_over_http(registry: Registry) -> None:
    """The key is that of config.json or a given one; `verify` checks the log too."""
    assert await verified(registry) == (0, [])
    assert await verified(registry, "--storage", "--vkey", VKEY) == (0, [])
    assert await verified(registry, "--url", registry.url) == (0, [])
    status, report = await asyncio.to_thread(document, "verify", **variables_of(registry.settings))
    assert (status, report["findings"]) == (0, [])


@pytest.mark.parametrize(("change", "told", "monitor_status"), TAMPERINGS, ids=name_of)
async def test_each_tampering_is_told(
    registry: Registry, tmp_path: Path, change: Tampering, told: Told, monitor_status: int
) -> None:
    """`log verify` reports it with exit status 1, and so does a monitor that saw the log before."""
    tree = f"file://{registry.settings.data_dir}"
    monitor = ("log", "monitor", tree, "--vkey", VKEY, "--state", str(tmp_path / "state"), "--once")
    before = await asyncio.to_thread(run, *monitor)
    assert (before.returncode, before.stdout.count("\n")) == (0, ENTRIES), before.stderr
    await change(registry.storage)
    (status, found), after = await asyncio.gather(verified(registry), asyncio.to_thread(run, *monitor))
    assert status == 1
    assert told in found
    assert after.returncode == monitor_status, after.stderr
    if monitor_status == 1:
        assert (told[0] in after.stderr) or told == LOG, after.stderr
        assert told[2] is None or told[2] in after.stderr
    else:
        assert (tmp_path / "state.known").read_bytes() == (tmp_path / "state").read_bytes()
        seen = (tmp_path / "state.contradicts").read_bytes()
        assert seen == await body_of(registry.storage, "log/checkpoint")


@pytest.mark.parametrize("change", [swap_a_tile, sign_twice], ids=name_of)
async def test_verify_tells_of_the_log_too(registry: Registry, change: Tampering) -> None:
    """It also compares the log with what the database signed."""
    await change(registry.storage)
    status, report = await asyncio.to_thread(document, "verify", **variables_of(registry.settings))
    assert status == 1
    assert "wrong_log" in [finding["kind"] for finding in report["findings"]]


async def test_a_monitor_goes_on_and_tells_a_line_that_is_rolled_back_while_it_watches(
    registry: Registry, tmp_path: Path
) -> None:
    """Between two comparisons of the whole index it compares the packages of new entries."""
    tree = f"file://{registry.settings.data_dir}"
    arguments = ("--vkey", VKEY, "--state", str(tmp_path / "state"), "--every", "0.2")
    watching = asyncio.create_task(asyncio.to_thread(run, "log", "monitor", tree, *arguments))

    async def has_seen(size: int) -> bool:
        state = tmp_path / "state"
        return state.exists() and f"\n{size}\n" in state.read_text()

    await eventually(lambda: has_seen(ENTRIES), 60)
    index = await body_of(registry.storage, INDEX)
    publisher = await registry.add_publisher("bob", "publish", "owner.manage")
    await registry.publish(hello_archive("third"), publisher)
    await settle(registry)
    assert await sequence(registry) == 1
    await eventually(lambda: has_seen(ENTRIES + 1), 60)
    assert not watching.done()
    await registry.rows("UPDATE package_versions SET yanked = NOT yanked RETURNING 1")
    await registry.rows("UPDATE index_state SET generation = generation + 1 RETURNING 1")
    await settle(registry)
    await overwrite(registry.storage, INDEX, index)
    assert await sequence(registry) == 4
    done = await watching
    assert done.returncode == 1
    assert "rolled back" in done.stderr
    assert [json.loads(line)["index"] for line in done.stdout.splitlines()] == list(range(ENTRIES + 5))


async def test_a_proof_is_checked_without_a_network(registry: Registry, tmp_path: Path) -> None:
    """It proves the line that the index shows, and only under the log's key."""
    proof = await asyncio.to_thread(run, "log", "prove", "hello", "0.1.0", "--url", registry.url)
    assert proof.returncode == 0, proof.stderr
    path = tmp_path / "hello.tlog-proof"
    path.write_text(proof.stdout)
    assert proof.stdout.startswith("c2sp.org/tlog-proof@v1\nextra ")
    status, found = document("log", "check-proof", str(path), "--vkey", VKEY)
    assert status == 0
    assert (found["origin"], found["size"], found["index"]) == (ORIGIN, 6, 5)
    line = (await body_of(registry.storage, INDEX)).splitlines()[0]
    assert found["entry"]["line"] == json.loads(line)
    path.write_text(proof.stdout.replace("index 5", "index 4"))
    assert (await asyncio.to_thread(run, "log", "check-proof", str(path), "--vkey", VKEY)).returncode == 1
    other = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k"
    assert (await asyncio.to_thread(run, "log", "check-proof", str(path), "--vkey", other)).returncode == 1
    assert (
        await asyncio.to_thread(run, "log", "prove", "hello", "7.0.0", "--url", registry.url)
    ).returncode == 1


async def test_a_monitor_prints_what_is_new_and_remembers(registry: Registry, tmp_path: Path) -> None:
    """Each entry is printed once, as a line of JSON."""
    arguments = ("log", "monitor", registry.url, "--vkey", VKEY, "--state", str(tmp_path / "state"), "--once")
    first = await asyncio.to_thread(run, *arguments)
    assert first.returncode == 0, first.stderr
    entries = [json.loads(line) for line in first.stdout.splitlines()]
    assert [entry["index"] for entry in entries] == list(range(6))
    assert (await asyncio.to_thread(run, *arguments)).stdout == ""
    await registry.publish(hello_archive("third"), await registry.add_publisher("bob"))
    await settle(registry)
    assert await sequence(registry) == 1
    again = [json.loads(line) for line in (await asyncio.to_thread(run, *arguments)).stdout.splitlines()]
    assert [(entry["index"], entry["name"]) for entry in again] == [(6, "third")]


async def test_a_monitor_tells_a_fork_and_a_rollback_and_keeps_the_evidence(
    registry: Registry, tmp_path: Path
) -> None:
    """Exit status 3; both checkpoints are beside the state, which is unchanged."""
    state = tmp_path / "state"
    arguments = ("log", "monitor", registry.url, "--vkey", VKEY, "--state", str(state), "--once")
    assert (await asyncio.to_thread(run, *arguments)).returncode == 0
    kept = state.read_bytes()
    for change in (roll_the_log_back, sign_twice):
        await change(registry.storage)
        await registry.http.get("/log/checkpoint?x07_refresh=1")
        answer = await asyncio.to_thread(run, *arguments)
        assert answer.returncode == 3, answer.stderr
        assert state.read_bytes() == kept
        assert (tmp_path / "state.known").read_bytes() == kept
        seen = (tmp_path / "state.contradicts").read_bytes()
        assert seen == await body_of(registry.storage, "log/checkpoint")


async def test_an_address_that_is_none_is_refused(registry: Registry) -> None:
    """Two sources at once are refused too."""
    assert (await asyncio.to_thread(run, "log", "verify", "--url", "ftp://x")).returncode == 2
    assert (await asyncio.to_thread(run, "log", "verify", "--url", registry.url, "--storage")).returncode == 2
