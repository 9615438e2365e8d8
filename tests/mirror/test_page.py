"""docs/mirror.md, followed on both back ends: every command of the page, and what the page says of it."""

from __future__ import annotations

import json
from pathlib import Path

import httpx
import pytest

from tests.archives import hello_archive
from tests.deploy.commands import variables_of
from tests.deploy.page_walk import Guide, shell
from tests.deploy.test_export import FileClient
from tests.mirror.conftest import VERSIONS
from tests.mirror.mirrors import tree_of
from tests.stack import Registry, eventually

FOREIGN = "Make one of a registry that somebody else runs"
OWN = "Make one of your own registry"
READ = "Read one"
MIRROR = "https://mirror.example/x07"


def test_every_section_is_followed() -> None:
    """A new section needs a test."""
    assert [title for title in Guide("mirror.md", {}, Path()).left if title] == [FOREIGN, OWN, READ]


def assert_whole(index: Path) -> None:
    """The client lists and gets every version without a network."""
    client = FileClient(index)
    assert client.packages() == sorted({name for name, _ in VERSIONS})
    for name, version in VERSIONS:
        [line] = [line for line in client.versions(name) if line["version"] == version]
        assert client.download(line) == hello_archive(name, version)


def archives_url(made: Path) -> str:
    """Where the mirror sends clients for archives."""
    return str(json.loads((made / "index/config.json").read_bytes())["dl"])


async def test_a_mirror_of_somebody_elses_registry(origin: Registry, tmp_path: Path) -> None:
    """It needs the public address alone; it is whole after the first run, and follows the origin."""
    made = tmp_path / "mirror"
    places = {"https://registry.example": origin.url, "/srv/x07-mirror": str(made)}
    guide = Guide("mirror.md", {}, tmp_path, places)
    first, rebased, followed = guide.commands(FOREIGN)
    [answer] = await guide.follow([first])
    assert answer.returncode == 0, answer
    assert_whole(made / "index")
    [answer] = await guide.follow([rebased])
    assert (answer.returncode, archives_url(made)) == (0, f"{MIRROR}/dl/")
    process = guide.begin(followed)
    try:
        published = await origin.publish(hello_archive("newcomer"), await origin.add_publisher("bob"))
        assert published.status_code == 200

        async def is_mirrored() -> bool:
            assert process.is_running
            return (made / "index/ne/wc/newcomer").exists()

        await eventually(is_mirrored)
    finally:
        assert await process.stop() == "exit status 143"


async def test_a_mirror_of_ones_own_registry(origin: Registry, tmp_path: Path) -> None:
    """It comes from storage, keeps its address in later runs, and may be moved with `cp -a`."""
    made, moved = tmp_path / "mirror", tmp_path / "moved"
    places = {"/srv/x07-mirror": str(made)}
    guide = Guide("mirror.md", variables_of(origin.settings), tmp_path, places)
    export, rebased = guide.commands(OWN)
    assert [answer.returncode for answer in await guide.follow([export])] == [0]
    assert_whole(made / "index")
    assert archives_url(made) == f"{made.as_uri()}/dl/"
    assert [answer.returncode for answer in await guide.follow([rebased, export])] == [0, 0]
    assert archives_url(made) == f"{MIRROR}/dl/"
    await shell(f"cp -a {made} {moved}")
    [answer] = await guide.follow([f"x07-registry export {moved} --base-url {moved.as_uri()}"])
    assert answer.returncode == 0, answer
    before, after = tree_of(made), tree_of(moved)
    assert [path for path in before if before[path] != after[path]] == ["index/config.json"]
    assert_whole(moved / "index")


@pytest.mark.parametrize("storage_settings", ["fs"], indirect=True)
async def test_a_mirror_is_read_from_files_and_from_a_read_server(origin: Registry, tmp_path: Path) -> None:
    """The client reads the addresses that the page names; the server needs nothing else."""
    made = tmp_path / "mirror"
    guide = Guide("mirror.md", variables_of(origin.settings), tmp_path, {"/srv/x07-mirror": str(made)})
    export, _ = guide.commands(OWN)
    await guide.follow([export])
    serve, *clients = guide.commands(READ)
    addresses = [line.partition("X07_PKG_INDEX_URL=")[2].split()[0] for line in clients]
    files = "file:///srv/x07-mirror/index/"
    assert addresses == [files, files, f"sparse+{MIRROR}/index/"]
    assert_whole(made / "index")
    guide.variables.clear()
    try:
        server = await guide.start(serve)
        await read_as_the_client(server.http)
    finally:
        await guide.close()


async def read_as_the_client(http: httpx.AsyncClient) -> None:
    """Every version's line and archive, below the mirror's address."""
    for name, version in VERSIONS:
        answer = await http.get(f"/dl/{name}/{version}/download")
        assert (answer.status_code, answer.content) == (200, hello_archive(name, version)), answer.text
        lines = (await http.get(f"/index/{name[:2]}/{name[2:4]}/{name}")).text.splitlines()
        assert version in [json.loads(line)["version"] for line in lines]
