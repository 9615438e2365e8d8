"""`export` and `reindex` as an operator runs them, and a mirror as the client reads it from `file://`."""

from __future__ import annotations

import hashlib
import json
import re
import urllib.request
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest_asyncio

from shared.blobs import archive_key, index_key
from shared.names import PackageName, shard_path
from shared.storage.filesystem import FileSystemStorage
from shared.versions import VersionText
from tests.conftest import SIGNING, MakeSettings
from tests.deploy.commands import document, variables_of
from tests.indexer.walks import everything, kinds, overwrite, publish_all
from tests.stack import Registry, running_registry

HELLO, FIRST = PackageName("hello"), VersionText("0.1.0")


@pytest_asyncio.fixture
async def settled(make_settings: MakeSettings) -> AsyncIterator[Registry]:
    """A registry with three published versions; no worker runs."""
    settings = await make_settings(publish_wait_seconds=0, **SIGNING)
    async with running_registry(settings, with_worker=False) as running:
        await publish_all(running)
        yield running


class FileClient:
    """The command-line client over a `file://` index (contract, 10.1)."""

    def __init__(self, index: Path) -> None:
        self.index = index
        self.config = json.loads((index / "config.json").read_text())

    def packages(self) -> list[str]:
        """`pkg list`: every file below the index whose name is a package's."""
        names = (path.name for path in self.index.rglob("*") if path.is_file())
        return sorted(name for name in names if re.fullmatch(r"[a-z][a-z0-9_-]*", name))

    def versions(self, name: str) -> list[dict[str, Any]]:
        """The lines of a package."""
        return [json.loads(line) for line in (self.index / shard_path(name)).read_text().splitlines()]

    def download(self, line: dict[str, Any]) -> bytes:
        """An archive, if it has its checksum."""
        url = f"{self.config['dl']}{line['name']}/{line['version']}/download"
        with urllib.request.urlopen(url) as answer:  # noqa: S310 - a file of ours
            body: bytes = answer.read()
        assert hashlib.sha256(body).hexdigest() == line["cksum"]
        return body


async def test_a_mirror_serves_the_client_from_files(settled: Registry, tmp_path: Path) -> None:
    """Every package is listed, each archive has its checksum, and the same run again copies nothing."""
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
    """Files that are missing or wrong are copied again, a damaged archive of the registry never is."""
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


async def test_reindex_writes_everything_from_the_rows(settled: Registry) -> None:
    """One package or all, with no worker; an unknown name is told."""
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
