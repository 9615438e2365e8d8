"""An edge before two readers and a writer; what reaches the tiers is written down."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest_asyncio
from starlette.types import ASGIApp, Receive, Scope, Send

from deploy.asgi import build_combined_app, build_read_app
from shared.settings import Settings
from tests.edge.nginx import running_nginx
from tests.stack import Registry, running_registry, serving


@dataclass
class Tier:
    """What reached the servers of a tier: target and headers of each request.

    broken: none answers. lost: paths that none can answer.
    """

    seen: list[tuple[str, dict[bytes, bytes]]] = field(default_factory=list)
    broken: bool = False
    lost: frozenset[str] = frozenset()

    def in_front_of(self, app: ASGIApp) -> ASGIApp:
        """The application, watched."""

        async def watched(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] == "http":
                self.seen.append((scope["raw_path"].decode(), dict(scope["headers"])))
                if self.broken or scope["raw_path"].decode() in self.lost:
                    start = {"type": "http.response.start", "status": 503, "headers": []}
                    await send(start)
                    await send({"type": "http.response.body"})
                    return
            await app(scope, receive, send)

        return watched

    def count(self, path: str) -> int:
        """How many requests for a path reached the tier."""
        return sum(target == path for target, _ in self.seen)


@dataclass
class Edge:
    """A registry behind nginx. registry.http speaks to the writer past it."""

    http: httpx.AsyncClient
    registry: Registry
    reads: Tier
    writes: Tier
    log: Path


@pytest_asyncio.fixture
async def edge(
    new_database: Callable[[], Awaitable[str]], valkey: Any, tmp_path: Path
) -> AsyncIterator[Edge]:
    """An edge before a fresh registry over a directory."""
    settings = Settings(
        database_url=await new_database(),
        redis_url=valkey.url,
        redis_namespace=tmp_path.name,
        catalog_debounce_seconds=0.02,
        data_dir=tmp_path / "tree",
    )
    reads, writes = Tier(), Tier()
    async with AsyncExitStack() as stack:

        def watched(settings: Settings) -> ASGIApp:
            return writes.in_front_of(build_combined_app(settings))

        registry = await stack.enter_async_context(running_registry(settings, build_app=watched))
        readers = [
            await stack.enter_async_context(serving(reads.in_front_of(build_read_app(settings))))
            for _ in range(2)
        ]
        hosts = [url.removeprefix("http://") for url in (*readers, registry.url)]
        url = await stack.enter_async_context(running_nginx(tmp_path / "edge", hosts[:2], hosts[2:]))
        http = await stack.enter_async_context(httpx.AsyncClient(base_url=url, timeout=30))
        reads.seen.clear()
        yield Edge(http, registry, reads, writes, tmp_path / "edge" / "log")
