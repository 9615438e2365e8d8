"""Proxies that pass `Upgrade` on, each with one connection to the server behind it that visitors share."""

from __future__ import annotations

import asyncio
import shutil
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx

from deploy.local.child import ChildProcess
from shared.http.authorities import trusted_authorities
from tests.edge.nginx import DIRECTIVES, find_nginx, free_port
from tests.stack import eventually

# The lines from nginx' documentation of WebSockets, with kept upstream connections.
WEBSOCKET_LINES = """
pid nginx.pid;
error_log stderr error;
events {{}}
http {{
    access_log off;
    client_body_temp_path body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    map $http_upgrade $connection_upgrade {{
        default upgrade;
        '' '';
    }}
    upstream registry {{
        server {behind};
        keepalive 1;
    }}
    server {{
        listen 127.0.0.1:{port};
        location / {{
            proxy_pass http://registry;
            proxy_http_version 1.1;
            proxy_set_header Host $http_host;
            proxy_set_header Upgrade $http_upgrade;
            proxy_set_header Connection $connection_upgrade;
        }}
    }}
}}
"""


@asynccontextmanager
async def running_proxy(kind: str, directory: Path, behind: str) -> AsyncIterator[str | None]:
    """The URL of a proxy (`nginx` or `go`) in front of this HOST:PORT; None if it is not installed."""
    make = {"nginx": _nginx, "go": _go}[kind]
    command, url = await make(directory, behind)
    if not command:
        yield None
        return
    with (directory / "proxy.log").open("wb") as output:
        child = ChildProcess(command, death_signal=signal.SIGTERM, output=output)
    try:
        yield await eventually(lambda: _answering(url, directory / "proxy.log"))
    finally:
        await child.stop(signal.SIGTERM, grace_s=10)


async def _nginx(directory: Path, behind: str) -> tuple[list[str], str]:
    program = find_nginx()
    if program is None:
        return [], ""
    port, main = free_port(), directory / "nginx.conf"
    main.write_text(WEBSOCKET_LINES.format(behind=behind, port=port))
    command = [program, "-p", f"{directory}/", "-c", str(main), "-g", DIRECTIVES]
    return command, f"http://127.0.0.1:{port}"


async def _go(directory: Path, behind: str) -> tuple[list[str], str]:
    if shutil.which("go") is None:
        return [], ""
    program, source = directory / "proxy", Path(__file__).with_name("main.go")
    build = await asyncio.create_subprocess_exec("go", "build", "-o", str(program), str(source))
    assert await build.wait() == 0
    return [str(program), f"http://{behind}"], ""


async def _answering(url: str, log: Path) -> str | None:
    """The URL of the proxy once it answers. url: empty if the proxy's log has the address."""
    if not url:
        address = log.read_text().partition("\n")[0]
        url = f"http://{address}"
        if not address:
            return None
    try:
        async with httpx.AsyncClient(verify=trusted_authorities()) as http:
            await http.get(url + "/healthz")
    except httpx.TransportError:
        return None
    return url
