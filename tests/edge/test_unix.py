"""The edge in front of tiers that listen on Unix sockets."""

from __future__ import annotations

from pathlib import Path

import httpx
from redis.asyncio import Redis

from api.read.fast_path import FastProtocol
from deploy.asgi import build_combined_app
from deploy.listener import open_listener
from shared.settings import Settings
from tests.archives import hello_archive
from tests.edge.conftest import ARCHIVE, INDEX
from tests.edge.nginx import running_nginx
from tests.stack import running_registry, serving


async def test_the_edge_reaches_its_tiers_over_unix_sockets(
    settings: Settings, tmp_path: Path, short_path: Path
) -> None:
    """Publishes and reads pass, and attempts count for the client that the edge names."""
    address = f"unix:{short_path}"
    async with (
        running_registry(settings) as registry,
        serving(build_combined_app(settings), FastProtocol, open_listener(address)),
        running_nginx(tmp_path / "edge", [address], [address]) as url,
        httpx.AsyncClient(base_url=url, timeout=30) as http,
    ):
        headers = await registry.add_publisher()
        archive = hello_archive()
        answer = await http.post("/v1/packages/publish", content=archive, headers=headers)
        assert (answer.status_code, answer.headers["x-x07-index-published"]) == (200, "true")
        assert (await http.get(INDEX)).status_code == 200
        assert (await http.get(ARCHIVE)).content == archive
        async with Redis.from_url(settings.redis_url.get_secret_value()) as redis:
            counted = await redis.keys(f"{settings.redis_namespace}:attempts:publish:address:*")
    assert [key.decode().rpartition(":")[2] for key in counted] == ["127.0.0.1"]
