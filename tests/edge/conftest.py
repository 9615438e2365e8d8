"""An edge in front of two readers and a writer, which records the requests that reach them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest_asyncio
from starlette.types import ASGIApp, Receive, Scope, Send

from api.read.fast_path import FastProtocol
from deploy.asgi import build_combined_app, build_read_app
from shared.settings import Settings
from tests.archives import hello_archive
from tests.conftest import MakeSettings
from tests.edge.nginx import running_nginx
from tests.stack import Registry, running_registry, serving

INDEX = "/index/he/ll/hello"
ARCHIVE = "/v1/packages/hello/0.1.0/download"


@dataclass
class Tier:
    """The requests that reached the servers of a tier: target and headers of each.

    broken: no server answers. lost: paths that no server can answer.
    """

    seen: list[tuple[str, dict[bytes, bytes]]] = field(default_factory=list)
    broken: bool = False
    lost: frozenset[str] = frozenset()

    def in_front_of(self, app: ASGIApp) -> ASGIApp:
        """Wrap the application to record its requests."""

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


class Mount:
    """The tree as one reader sees it: a link, which can temporarily point nowhere."""

    def __init__(self, path: Path, tree: Path) -> None:
        self.path, self._tree = path, tree
        self.lead_to_tree()

    def lead_to_tree(self) -> None:
        """Make storage available."""
        self._lead_to(self._tree)

    def lead_nowhere(self) -> None:
        """Make storage fail: the link points to itself."""
        self._lead_to(self.path)

    def _lead_to(self, target: Path) -> None:
        link = self.path.with_suffix(".new")
        link.symlink_to(target)
        link.rename(self.path)


@dataclass
class Edge:
    """A registry behind nginx. registry.http bypasses nginx. mounts: one for each reader."""

    http: httpx.AsyncClient
    registry: Registry
    reads: Tier
    writes: Tier
    mounts: list[Mount]
    reader_urls: list[str]
    log: Path
    stop_readers: Callable[[], Awaitable[None]]


def _who_reads(settings: Settings) -> str:
    return "namespaces" if settings.private_namespaces else settings.reads


@asynccontextmanager
async def running_edge(settings: Settings, directory: Path, **of_readers: Any) -> AsyncIterator[Edge]:
    """An edge in front of a registry and two readers. of_readers: their settings, where they differ."""
    reads, writes = Tier(), Tier()
    mounts = [Mount(directory / f"mount{number}", settings.data_dir) for number in range(2)]
    async with AsyncExitStack() as stack, AsyncExitStack() as readers:

        def watched(settings: Settings) -> ASGIApp:
            return writes.in_front_of(build_combined_app(settings))

        registry = await stack.enter_async_context(running_registry(settings, build_app=watched))
        urls = []
        for mount in mounts:
            own = settings.model_copy(update={"data_dir": mount.path, **of_readers})
            reader = serving(reads.in_front_of(build_read_app(own)), FastProtocol)
            urls.append(await readers.enter_async_context(reader))
        hosts = [url.removeprefix("http://") for url in (*urls, registry.url)]
        url = await stack.enter_async_context(
            running_nginx(directory / "edge", hosts[:2], hosts[2:], who_reads=_who_reads(settings))
        )
        http = await stack.enter_async_context(httpx.AsyncClient(base_url=url, timeout=60))
        reads.seen.clear()
        yield Edge(http, registry, reads, writes, mounts, urls, directory / "edge" / "log", readers.aclose)


@pytest_asyncio.fixture
async def settings(make_default_settings: MakeSettings) -> Settings:
    """Settings of a registry over a directory."""
    return await make_default_settings(catalog_debounce_seconds=0.02)


@pytest_asyncio.fixture
async def edge(settings: Settings, tmp_path: Path) -> AsyncIterator[Edge]:
    """An edge in front of a fresh registry."""
    async with running_edge(settings, tmp_path) as running:
        yield running


async def publish(
    edge: Edge, version: str = "0.1.0", headers: dict[str, str] | None = None
) -> dict[str, str]:
    """Publish hello through the edge. Returns the publisher's headers."""
    headers = headers or await edge.registry.add_publisher()
    archive = hello_archive(version=version)
    answer = await edge.http.post("/v1/packages/publish", content=archive, headers=headers)
    assert (answer.status_code, answer.headers["x-x07-index-published"]) == (200, "true")
    return headers
