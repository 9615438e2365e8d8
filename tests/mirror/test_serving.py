"""One mirror behind every kind of file server."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest

from deploy.local.child import ChildProcess
from shared.names import PackageName, shard_path
from tests.deploy.commands import document
from tests.deploy.forked_commands import Forked
from tests.edge.nginx import DIRECTIVES, find_nginx, free_port
from tests.log.logs import VKEY
from tests.loud import say_loudly
from tests.mirror.mirrors import mirror, tree_of
from tests.stack import Registry, eventually

Command = Callable[[Path, int, Path], list[str]]

NGINX = """
pid {work}/pid; error_log stderr; events {{}}
http {{
    access_log off; client_body_temp_path {work}/body; proxy_temp_path {work}/proxy;
    fastcgi_temp_path {work}/fastcgi; uwsgi_temp_path {work}/uwsgi; scgi_temp_path {work}/scgi;
    server {{ listen 127.0.0.1:{port}; root {root}; }}
}}
"""


def python_server(root: Path, port: int, work: Path) -> list[str]:
    """`python -m http.server`."""
    return [sys.executable, "-m", "http.server", str(port), "--bind", "127.0.0.1", "--directory", str(root)]


def nginx_server(root: Path, port: int, work: Path) -> list[str]:
    """nginx with nothing but a root."""
    configuration = work / "nginx.conf"
    configuration.write_text(NGINX.format(work=work, port=port, root=root))
    return [str(find_nginx()), "-p", f"{work}/", "-c", str(configuration), "-g", DIRECTIVES]


@asynccontextmanager
async def running(command: list[str], base: str, work: Path) -> AsyncIterator[None]:
    """A file server that runs while the block runs."""
    with (work / "log").open("wb") as output:
        child = ChildProcess(command, death_signal=signal.SIGTERM, output=output)
    try:
        await eventually(lambda: answers(base))
        yield
    finally:
        await child.stop(signal.SIGTERM, grace_s=10)


@asynccontextmanager
async def read_server(root: Path, port: int, log: Path, **variables: str) -> AsyncIterator[None]:
    """`x07-registry serve read --data-dir DIR`, without Redis."""
    arguments = ["serve", "read", "--data-dir", str(root), "--bind", f"127.0.0.1:{port}"]
    process = Forked(arguments, {"X07_REGISTRY_REDIS_URL": "redis://127.0.0.1:1", **variables}, log)
    try:
        await eventually(lambda: answers(f"http://127.0.0.1:{port}"))
        yield
    finally:
        await process.stop()


async def answers(base: str) -> bool:
    """True if a server serves the mirror at this address."""
    async with httpx.AsyncClient(base_url=base) as http:
        try:
            return (await http.get("/index/config.json")).status_code == 200
        except httpx.TransportError:
            return False


async def packages_of(base: str) -> dict[str, list[str]]:
    """Every package with its versions as the client reads them, after checking each archive."""
    found: dict[str, list[str]] = {}
    async with httpx.AsyncClient(timeout=60) as http:
        config = (await http.get(f"{base}/index/config.json")).json()
        catalog = json.loads((await http.get(f"{base}/index/catalog.json")).content)
        for name in (package["name"] for package in catalog["packages"]):
            body = (await http.get(f"{base}/index/{shard_path(PackageName(name))}")).content
            for line in map(json.loads, body.splitlines()):
                archive = await http.get(f"{config['dl']}{name}/{line['version']}/download")
                assert hashlib.sha256(archive.content).hexdigest() == line["cksum"]
                found.setdefault(name, []).append(line["version"])
            assert (await http.get(f"{config['dl']}{name}/package")).json()["name"] == name
    return found


@pytest.fixture
def storage_settings(tmp_path: Path) -> dict[str, object]:
    """A directory; servers of a mirror do not depend on the origin's storage."""
    return {"storage": "fs", "data_dir": tmp_path / "tree"}


@pytest.mark.timeout(180)
async def test_every_server_of_files_serves_it_unchanged(
    origin: Registry, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """Clients read it, the log verifies, and it can be the origin of another mirror."""
    made, port = tmp_path / "mirror", free_port()
    base = f"http://127.0.0.1:{port}"
    status, report = await mirror(origin.url, made, "--base-url", base)
    assert (status, report["wrong"]) == (0, 0)
    before = tree_of(made)
    expected = {"hello": ["0.1.0", "0.2.0+b.1"], "hello-world": ["1.0.0"], "other": ["1.0.0"]}
    commands: list[Command] = [python_server]
    if find_nginx() is None:
        say_loudly(request, "nginx is not installed: it served no mirror")
    else:
        commands.append(nginx_server)
    for number, command in enumerate(commands):
        work = tmp_path / f"server-{number}"
        work.mkdir()
        async with running(command(made, port, work), base, work):
            assert await packages_of(base) == expected
            verify = ("log", "verify", "--url", base, "--vkey", VKEY)
            assert (await asyncio.to_thread(document, *verify))[0] == 0
    async with read_server(made, port, tmp_path / "read.log"):
        assert await packages_of(base) == expected
        status, report = await mirror(base, tmp_path / "second", "--base-url", base)
        assert (status, report["wrong"], report["size"]) == (0, 0, 5)
    assert tree_of(tmp_path / "second") == before
    assert tree_of(made) == before


async def test_a_mirror_that_cannot_be_written_to_is_served(origin: Registry, tmp_path: Path) -> None:
    """A read server needs only read access."""
    made, port = tmp_path / "mirror", free_port()
    await mirror(origin.url, made, "--base-url", f"http://127.0.0.1:{port}")
    for folder, _, files in os.walk(made):
        for name in files:
            os.chmod(Path(folder) / name, 0o444)
    async with read_server(made, port, tmp_path / "read.log"):
        assert set(await packages_of(f"http://127.0.0.1:{port}")) == {"hello", "hello-world", "other"}
