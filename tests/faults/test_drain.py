"""SIGTERM to a write process: publishes in progress finish, and new ones are refused."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import httpx
import pytest

from api.write.upload import BUFFER_BYTES
from tests.archives import build_archive, hello_manifest, listed_files
from tests.faults.cluster import Cluster
from tests.stack import eventually


async def test_a_publish_in_progress_is_finished_and_answered(cluster: Cluster) -> None:
    """Deployments stop their processes often; no upload may be lost because of it."""
    writer, _ = await cluster.start_all("write", "worker")
    headers = await cluster.registry.add_publisher()
    manifest = hello_manifest()
    big = {**listed_files(manifest), "data.bin": bytes(2 * BUFFER_BYTES)}
    archive, is_read, go_on = build_archive(manifest, big), asyncio.Event(), asyncio.Event()

    async def body() -> AsyncIterator[bytes]:
        yield archive[:-1024]
        is_read.set()
        await go_on.wait()
        yield archive[-1024:]

    upload = asyncio.create_task(writer.http.post("/v1/packages/publish", content=body(), headers=headers))
    await is_read.wait()
    await eventually(lambda: _is_spooled(cluster))
    stopping = asyncio.create_task(writer.child.stop())
    await eventually(lambda: _is_closed(str(writer.http.base_url)))
    go_on.set()
    answer = await upload
    assert (answer.status_code, answer.headers["x-x07-index-published"]) == (200, "true")
    assert await stopping == "SIGTERM"  # uvicorn raises the signal again after a clean stop
    with pytest.raises(httpx.ConnectError):
        await writer.http.post("/v1/packages/publish", content=archive, headers=headers)


async def _is_spooled(cluster: Cluster) -> bool:
    return any(cluster.registry.settings.spool_dir.glob("upload-*"))


async def _is_closed(url: str) -> bool:
    """True once nobody listens at the address."""
    async with httpx.AsyncClient(base_url=url) as http:
        try:
            await http.get("/healthz")
        except httpx.TransportError:
            return True
    return False
