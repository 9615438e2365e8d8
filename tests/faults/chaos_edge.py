"""The edge of the chaos test: an nginx with the shipped files, in front of the read servers."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import httpx

from tests.edge.nginx import find_nginx, running_nginx
from tests.faults.cluster import Kind, Process


@asynccontextmanager
async def edge_before(
    processes: Mapping[Kind, Sequence[Process]], directory: Path
) -> AsyncIterator[httpx.AsyncClient | None]:
    """A client of the edge; None, and a sentence, if nginx is not installed."""
    if find_nginx() is None:
        print("nginx is not installed, so nobody reads through an edge", flush=True)
        yield None
        return
    reads, writes = (list(map(address_of, processes[kind])) for kind in ("read", "write"))
    async with (
        running_nginx(directory / "edge", reads, writes) as url,
        httpx.AsyncClient(base_url=url, timeout=60) as http,
    ):
        yield http


def address_of(process: Process) -> str:
    """The HOST:PORT of a process."""
    return process.http.base_url.netloc.decode()
