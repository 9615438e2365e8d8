"""Runs of `mirror`: the first copies everything, the next copies what is new, the last copies nothing."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from tests.archives import hello_archive
from tests.conftest import MakeSettings
from tests.deploy.commands import document, variables_of
from tests.deploy.forked_commands import run
from tests.deploy.test_export import FileClient
from tests.log.logs import VKEY, until_logged
from tests.mirror.mirrors import mirror, running_at_its_base, tree_of
from tests.stack import Registry, eventually


async def test_the_first_run_takes_what_export_takes(origin: Registry, tmp_path: Path) -> None:
    """Index, archives, metadata, pages and log are equal; the client reads them from `file://`."""
    made, exported = tmp_path / "mirror", tmp_path / "export"
    status, report = await mirror(origin.url, made)
    assert (status, report["wrong"], report["verified"], report["size"]) == (0, 0, True, 5), report
    assert (await asyncio.to_thread(document, "export", str(exported), **variables_of(origin.settings)))[
        0
    ] == 0
    mine, theirs = tree_of(made), tree_of(exported)
    config = json.loads(mine.pop("index/config.json"))
    expected = json.loads(theirs.pop("index/config.json"))
    assert mine == theirs
    assert config == expected | {
        "dl": f"{made.as_uri()}/dl/",
        "log": {"url": f"{made.as_uri()}/log/", "vkey": VKEY},
    }
    client = FileClient(made / "index")
    assert client.packages() == ["hello", "hello-world", "other"]
    assert all(client.download(line) for name in client.packages() for line in client.versions(name))


@pytest.mark.parametrize("storage_settings", ["fs"], indirect=True)
async def test_a_day_without_changes_costs_three_requests(origin: Registry, tmp_path: Path) -> None:
    """config.json, checkpoint and catalog are requested conditionally; nothing is written."""
    await mirror(origin.url, tmp_path / "mirror")
    before = tree_of(tmp_path / "mirror")
    status, report = await mirror(origin.url, tmp_path / "mirror")
    assert (status, report["requests"], report["files"]) == (0, 3, 0)
    assert tree_of(tmp_path / "mirror") == before


@pytest.mark.parametrize("storage_settings", ["fs"], indirect=True)
async def test_a_later_run_takes_what_the_log_says_is_new(origin: Registry, tmp_path: Path) -> None:
    """A new version, a yank that is undone, and a removed version, whose files are deleted."""
    made = tmp_path / "mirror"
    await mirror(origin.url, made)
    bob = await origin.add_publisher("bob", "publish", "owner.manage")
    assert (await origin.publish(hello_archive("fourth"), bob)).status_code == 200
    removed = (
        "package",
        "remove-version",
        "other",
        "1.0.0",
        "--reason",
        "court order",
        "--by",
        "alice",
        "--yes",
    )
    status, _ = await asyncio.to_thread(document, *removed, **variables_of(origin.settings))
    assert status == 0
    await until_logged(origin, 7)
    await origin.until_in_catalog("fourth", "0.1.0")
    status, report = await mirror(origin.url, made)
    assert (status, report["entries"], report["wrong"]) == (0, 2, 0)
    files = tree_of(made)
    assert "dl/fourth/0.1.0/download" in files
    assert not [path for path in files if "other" in path]
    assert [package["name"] for package in json.loads(files["index/catalog.json"])["packages"]] == [
        "fourth",
        "hello",
        "hello-world",
    ]


async def test_a_private_registry_is_mirrored_by_who_may_read_it(
    make_default_settings: MakeSettings, tmp_path: Path
) -> None:
    """With `--token-file`, as its log is checked; nobody else, and the list of tokens does not come along."""
    async with running_at_its_base(
        make_default_settings, reads="token", catalog_debounce_seconds=0.02, sweep_seconds=0.5
    ) as origin:
        alice = await origin.add_publisher("alice")
        assert (await origin.publish(hello_archive(), alice)).status_code == 200
        await until_logged(origin, 1)
        token = tmp_path / "token"
        token.write_text(alice["authorization"].removeprefix("Bearer ") + "\n")

        async def in_catalog() -> bool:
            catalog = await origin.http.get("/index/catalog.json?x07_refresh=1", headers=alice)
            return b'"hello"' in catalog.content

        await eventually(in_catalog)

        status, report = await mirror(origin.url, tmp_path / "mirror", "--token-file", token)

        assert (status, report["wrong"], report["verified"]) == (0, 0, True), report
        assert "dl/hello/0.1.0/download" in tree_of(tmp_path / "mirror")
        assert not (tmp_path / "mirror/access").exists()
        checked = ("--vkey", VKEY, "--token-file", str(token))
        proof = await asyncio.to_thread(run, "log", "prove", "hello", "0.1.0", "--url", origin.url, *checked)
        assert proof.returncode == 0, proof.stderr
        for command in (
            ("log", "verify", "--url", origin.url),
            ("log", "monitor", origin.url, "--once", "--state", str(tmp_path / "state")),
        ):
            done = await asyncio.to_thread(run, *command, *checked)
            assert done.returncode == 0, (command, done.stderr)
            stranger = await asyncio.to_thread(run, *command, "--vkey", VKEY)
            assert (stranger.returncode, "401" in stranger.stderr) == (1, True), (command, stranger.stderr)
        refused = await asyncio.to_thread(run, "mirror", origin.url, str(tmp_path / "other"))
        assert (refused.returncode, "401" in refused.stderr) == (1, True), refused.stderr
