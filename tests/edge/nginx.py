"""An nginx with the shipped files, unchanged except for those that the operator fills in."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import httpx

from deploy.local.child import ChildProcess
from tests.stack import eventually

# As root, nginx would switch to a user who cannot enter the test's directory.
DIRECTIVES = "daemon off;" + (" user root;" if os.geteuid() == 0 else "")
SHIPPED = Path(__file__).parents[2] / "deploy" / "nginx"


def find_nginx() -> str | None:
    """The path of nginx, or None if it is not installed. It is seldom on a user's PATH."""
    return shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")


def nginx_program() -> str:
    """The path of nginx. Fails if it is not installed; `make edge-test` installs it."""
    if (found := find_nginx()) is None:
        raise RuntimeError("nginx is not installed; run `make edge-test`")
    return found


def free_port() -> int:
    """A port on which nobody listens at present, because nginx cannot inherit a socket."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def write_configuration(
    directory: Path, port: int, reads: Sequence[str], writes: Sequence[str], who_reads: str = "public"
) -> Path:
    """Write the shipped files with these HOST:PORTs into a directory. Returns the main file."""
    shutil.copytree(SHIPPED, directory)
    (directory / "listen.conf").write_text(f"listen 127.0.0.1:{port};\n")
    upstreams = (directory / "upstreams.conf").read_text()
    for placeholder, servers in (("read:8080", reads), ("write:8081", writes)):
        line = next(line for line in upstreams.splitlines() if placeholder in line)
        replaced = "\n".join(line.replace(placeholder, server) for server in servers)
        upstreams = upstreams.replace(line, replaced)
    (directory / "upstreams.conf").write_text(upstreams)
    of_reads = (directory / "reads.conf").read_text()
    (directory / "reads.conf").write_text(of_reads.replace("default public;", f"default {who_reads};"))
    return directory / "nginx.conf"


@asynccontextmanager
async def running_nginx(
    directory: Path,
    reads: Sequence[str],
    writes: Sequence[str],
    port: int | None = None,
    who_reads: str = "public",
) -> AsyncIterator[str]:
    """An edge before these HOST:PORTs; its URL. Its access log is DIRECTORY/log. port: None: any."""
    port = port or free_port()
    main = write_configuration(directory / "conf", port, reads, writes, who_reads)
    url = f"http://127.0.0.1:{port}"
    async with serving_nginx(main, directory, f"{url}/healthz"):
        yield url


@asynccontextmanager
async def serving_nginx(main: Path, directory: Path, url: str) -> AsyncIterator[None]:
    """An nginx with this main file, which answers at the URL. Its output is DIRECTORY/log."""
    prefix = directory / "run"
    prefix.mkdir(parents=True)
    with (directory / "log").open("wb") as output:
        command = [nginx_program(), "-p", f"{prefix}/", "-c", str(main), "-g", DIRECTIVES]
        child = ChildProcess(command, death_signal=signal.SIGTERM, output=output)
    try:
        async with httpx.AsyncClient() as http:
            await eventually(lambda: _answers(http, url, child, directory / "log"))
        yield
    finally:
        await child.stop(signal.SIGTERM, grace_s=10)


async def _answers(http: httpx.AsyncClient, url: str, child: ChildProcess, log: Path) -> bool:
    if not child.is_running:
        raise RuntimeError(log.read_text())
    try:
        await http.get(url)
    except httpx.TransportError:
        return False
    return True


async def checked(main: Path, prefix: Path) -> str:
    """The output of `nginx -t`; fails if nginx refuses the configuration."""
    process = await asyncio.create_subprocess_exec(
        nginx_program(),
        "-t",
        "-p",
        f"{prefix}/",
        "-c",
        str(main),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    assert process.returncode == 0, output.decode()
    return output.decode()
