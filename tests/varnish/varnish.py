"""A Varnish with the shipped VCL, whose backends and secret are filled in."""

from __future__ import annotations

import shutil
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx

from deploy.local.child import ChildProcess
from tests.stack import eventually

SHIPPED = Path(__file__).parents[2] / "deploy" / "varnish" / "x07-registry.vcl"


def find_varnish() -> str | None:
    """The path of varnishd, or None if it, or the compiler that it needs, is not installed."""
    found = shutil.which("varnishd") or shutil.which("varnishd", path="/usr/sbin:/usr/local/sbin")
    return found if shutil.which("cc") or shutil.which("gcc") else None


def write_vcl(directory: Path, reads: str, writes: str, secret: str) -> Path:
    """Write the shipped VCL with these HOST:PORTs and this secret. Returns its path."""
    vcl = SHIPPED.read_text().replace("PURGE_SECRET", secret)
    for name, port, address in (("read", "8080", reads), ("write", "8081", writes)):
        shipped = f'.host = "{name}"; .port = "{port}";'
        assert shipped in vcl
        own_host, _, own_port = address.rpartition(":")
        vcl = vcl.replace(shipped, f'.host = "{own_host}"; .port = "{own_port}";')
    path = directory / "default.vcl"
    path.write_text(vcl)
    return path


@asynccontextmanager
async def running_varnish(
    directory: Path, port: int, reads: str, writes: str, secret: str
) -> AsyncIterator[str]:
    """An edge on this port before a reader and a write server (HOST:PORT). Yields its URL."""
    program = find_varnish()
    assert program is not None, "Varnish is not installed; run `make varnish-test`"
    directory.mkdir()
    vcl = write_vcl(directory, reads, writes, secret)
    listen = ["-a", f"127.0.0.1:{port}", "-T", "none", "-j", "none", "-s", "malloc,16m"]
    with (directory / "log").open("wb") as output:
        command = [program, "-F", "-n", str(directory / "run"), "-f", str(vcl), *listen]
        child = ChildProcess(command, death_signal=signal.SIGTERM, output=output)
    url = f"http://127.0.0.1:{port}"
    try:
        async with httpx.AsyncClient(base_url=url) as http:
            await eventually(lambda: _answers(http, child, directory / "log"))
        yield url
    finally:
        await child.stop(signal.SIGTERM, grace_s=10)


async def _answers(http: httpx.AsyncClient, child: ChildProcess, log: Path) -> bool:
    if not child.is_running:
        raise RuntimeError(log.read_text())
    try:
        await http.request("PURGE", "/")  # refused without asking a server
    except httpx.TransportError:
        return False
    return True
