"""`export` and `reindex` as operators run them, and a mirror as the client reads it from `file://`."""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
import json
import os
import re
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from shared.blobs import archive_key, index_key
from shared.names import PackageName, shard_path
from shared.storage.filesystem import FileSystemStorage
from shared.versions import VersionText
from tests.deploy.commands import document, variables_of
from tests.deploy.forked_commands import run
from tests.indexer.upkeep.walks import everything, kinds, overwrite
from tests.stack import Registry

HELLO, FIRST = PackageName("hello"), VersionText("0.1.0")


class FileClient:
    """The command-line client over a `file://` index (contract, 10.1)."""

    def __init__(self, index: Path) -> None:
        self.index = index
        self.config = json.loads((index / "config.json").read_text())

    def packages(self) -> list[str]:
        """`pkg list`: every file below the index that has a package's name."""
        names = (path.name for path in self.index.rglob("*") if path.is_file())
        return sorted(name for name in names if re.fullmatch(r"[a-z][a-z0-9_-]*", name))

    def versions(self, name: str) -> list[dict[str, Any]]:
        """The lines of a package."""
        return [json.loads(line) for line in (self.index / shard_path(name)).read_text().splitlines()]

    def download(self, line: dict[str, Any]) -> bytes:
        """An archive, after checking its checksum."""
        url = f"{self.config['dl']}{line['name']}/{line['version']}/download"
        with urllib.request.urlopen(url) as answer:  # noqa: S310 - a file of ours
            body: bytes = answer.read()
        assert hashlib.sha256(body).hexdigest() == line["cksum"]
        return body


@pytest.mark.parametrize("storage_settings", ["fs"], indirect=True)
async def test_a_mirror_serves_the_client_from_files(settled: Registry, tmp_path: Path) -> None:
    """All packages are listed, each archive has its checksum, and a second run copies nothing."""
    mirror = tmp_path / "mirror"
    variables = variables_of(settled.settings)
    status, first = document("export", str(mirror), **variables)
    assert (status, first["ok"], first["wrong"]) == (0, True, 0)
    client = FileClient(mirror / "index")
    assert client.packages() == ["hello", "hello-world"]
    lines = [line for name in client.packages() for line in client.versions(name)]
    assert [(line["name"], line["version"]) for line in lines] == [
        ("hello", "0.1.0"),
        ("hello", "0.2.0+b.1"),
        ("hello-world", "1.0.0"),
    ]
    assert all(client.download(line) for line in lines)
    assert client.config["dl"] == f"{mirror.as_uri()}/dl/"
    assert client.config["api"] == "http://127.0.0.1:8080/v1/"
    assert client.config["signing"]["public_keys"][0]["id"] == "key-2026-01"
    status, again = document("export", str(mirror), **variables)
    assert (status, again["files"], again["kept"]) == (0, 0, first["files"])


async def test_a_mirror_goes_on_where_it_was_and_mends_itself(settled: Registry, tmp_path: Path) -> None:
    """Missing or wrong files are copied again, but never a damaged archive of the registry."""
    mirror = tmp_path / "mirror"
    variables = variables_of(settled.settings)
    document("export", str(mirror), "--base-url", "https://mirror.example/x07/", **variables)
    assert json.loads((mirror / "index/config.json").read_text())["dl"] == "https://mirror.example/x07/dl/"
    store = FileSystemStorage(mirror)
    before = await everything(store)
    (mirror / index_key(HELLO)).unlink()
    with (mirror / archive_key(HELLO, FIRST)).open("r+b") as file:
        file.write(b"rotten")
    status, report = document(
        "export", str(mirror), "--deep", "--base-url", "https://mirror.example/x07", **variables
    )
    assert (status, report["files"]) == (0, 2)
    assert await everything(store) == before

    await overwrite(settled.storage, archive_key(HELLO, FIRST), b"rotten")
    await settled.storage.delete(index_key(PackageName("hello-world")))
    (mirror / archive_key(HELLO, FIRST)).unlink()
    status, report = document("export", str(mirror), "--prune", **variables)
    assert (status, report["wrong"], report["removed"]) == (1, 1, 1)
    assert [finding["key"] for finding in report["findings"]] == [archive_key(HELLO, FIRST)]
    assert not (mirror / archive_key(HELLO, FIRST)).exists()
    await store.close()


@pytest.mark.parametrize("storage_settings", ["fs"], indirect=True)
async def test_a_mirror_is_never_made_of_the_live_tree(settled: Registry, tmp_path: Path) -> None:
    """Readers would get its configuration: at the tree, in it, around it, or through a link."""
    before = await everything(settled.storage)
    live = settled.settings.data_dir
    link = tmp_path / "link"
    link.symlink_to(live)
    for place in (live, live / "mirror", live.parent, link):
        answer = run("export", str(place), **variables_of(settled.settings))
        assert answer.returncode == 2
        assert "overlaps the registry's own tree" in answer.stderr
    assert await everything(settled.storage) == before


async def test_a_mirror_keeps_its_base_and_nothing_else_but_the_tree(
    settled: Registry, tmp_path: Path
) -> None:
    """Later runs keep the base of the first one; an invalid URL is refused; `--prune` reports removals.

    Files that somebody had in the directory stay.
    """
    mirror, variables = tmp_path / "mirror", variables_of(settled.settings)
    for base in ("notaurl", "ftp://mirror.example", "https://", "https://mirror.example/?a=b"):
        answer = run("export", str(mirror), "--base-url", base, **variables)
        assert answer.returncode == 2
        assert "must be an absolute" in answer.stderr
    assert not mirror.exists()
    assert run("export", str(mirror), "--base-url", "https://mirror.example/", **variables).returncode == 0
    assert run("export", str(mirror), **variables).returncode == 0
    assert json.loads((mirror / "index/config.json").read_text())["dl"] == "https://mirror.example/dl/"
    await settled.storage.delete(index_key(PackageName("hello-world")))
    pruned = run("export", str(mirror), "--prune", **variables)
    assert "1 removed" in pruned.stdout
    assert sorted(path.name for path in mirror.iterdir()) == ["dl", "index"]
    (mirror / "tmp").mkdir()
    (mirror / "tmp/mine").touch()
    assert run("export", str(mirror), "--prune", **variables).returncode == 0
    assert [path.name for path in (mirror / "tmp").iterdir()] == ["mine"]


@pytest.mark.parametrize("storage_settings", ["fs"], indirect=True)
async def test_one_export_at_a_time_works_on_a_mirror(settled: Registry, tmp_path: Path) -> None:
    """A second run would remove the first one's unfinished files."""
    mirror, variables = tmp_path / "mirror", variables_of(settled.settings)
    mirror.mkdir()
    descriptor = os.open(mirror, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        answer = run("export", str(mirror), **variables)
    finally:
        os.close(descriptor)
    assert answer.returncode == 1
    assert f"another `export` or `mirror` is running in {mirror}" in answer.stderr
    assert run("export", str(mirror), **variables).returncode == 0


@pytest.mark.parametrize("storage_settings", ["fs"], indirect=True)
async def test_reindex_of_an_unknown_package_names_it_and_leaves_the_others_alone(settled: Registry) -> None:
    """It is no error of the database, and makes nothing dirty."""
    generations = "SELECT generation FROM index_state ORDER BY package_id"
    before = await settled.rows(generations)
    answer = await asyncio.to_thread(run, "reindex", "nope", **variables_of(settled.settings))
    assert answer.returncode == 1
    assert answer.stdout.splitlines() == ["failed  nope: there is no such package", "1 package failed"]
    assert await settled.rows(generations) == before


async def test_reindex_writes_everything_from_the_rows(settled: Registry) -> None:
    """One package or all, without a worker; an unknown name is reported."""
    before = await everything(settled.storage)
    variables = variables_of(settled.settings)
    async with settled.database.transaction() as tx:
        await tx.exec_driver_sql("DELETE FROM package_listings")
    for key in before:
        if not key.endswith("/download"):
            await settled.storage.delete(key)
    status, report = document("reindex", "hello", "nobody", **variables)
    assert (status, report["failed"]) == (1, 1)
    assert index_key(HELLO) in await settled.keys()
    assert index_key(PackageName("hello-world")) not in await settled.keys()
    assert document("reindex", **variables)[0] == 0
    assert await everything(settled.storage) == before
    assert await kinds(settled) == []
    assert len(await settled.rows("SELECT name FROM search_names")) == 2


@pytest.mark.parametrize("storage_settings", ["fs"], indirect=True)
async def test_reindex_continues_behind_a_name(settled: Registry) -> None:
    """The packages before it are left as they are."""
    for key in (index_key(HELLO), index_key(PackageName("hello-world"))):
        await settled.storage.delete(key)
    variables = variables_of(settled.settings)
    assert document("reindex", "--after", "hello", **variables)[0] == 0
    assert index_key(HELLO) not in await settled.keys()
    assert index_key(PackageName("hello-world")) in await settled.keys()
    assert (await asyncio.to_thread(run, "reindex", "hello", "--after", "a", **variables)).returncode == 2
