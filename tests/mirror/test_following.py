"""`mirror --follow`: changes at the origin reach the mirror, and its read server hears of them."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest

from tests.archives import hello_archive
from tests.deploy.forked_commands import Forked
from tests.edge.nginx import free_port
from tests.fault_proxy import FaultProxy, Refuse
from tests.mirror.test_serving import read_server
from tests.stack import Registry, eventually

# Longer than any test: a reader that shows a change must have heard of it.
TTL_S = "3600"


@pytest.fixture
def storage_settings(tmp_path: Path) -> dict[str, object]:
    """A directory; a follower does not depend on the origin's storage."""
    return {"storage": "fs", "data_dir": tmp_path / "tree"}


@asynccontextmanager
async def following(url: str, made: Path, *options: str) -> AsyncIterator[Forked]:
    """A command that follows and has finished its first update."""
    process = Forked(["mirror", url, str(made), "--follow", *options], {}, made.with_suffix(".log"))
    try:
        await eventually(lambda: _has_looked(process, made))
        yield process
    finally:
        assert await process.stop() == "exit status 143"


async def _has_looked(process: Forked, made: Path) -> bool:
    assert process.is_running, made.with_suffix(".log").read_text()
    return (made / "log/checkpoint").exists()


@pytest.mark.timeout(180)
async def test_a_read_server_far_away_shows_what_changes_at_the_origin(
    origin: Registry, tmp_path: Path
) -> None:
    """A new version, a yank and a new package appear without Redis, and long before the time-to-live."""
    made, port = tmp_path / "mirror", free_port()
    base = f"http://127.0.0.1:{port}"
    async with (
        following(origin.url, made, "--base-url", base, "--json"),
        read_server(made, port, tmp_path / "read.log", X07_REGISTRY_READ_TTL_SECONDS=TTL_S),
        httpx.AsyncClient(base_url=base) as reader,
    ):
        for path in ("/index/he/ll/hello", "/index/ne/wp/newpackage", "/dl/hello/package"):
            await reader.get(path)
        bob = await origin.add_publisher("bob")
        began = time.monotonic()
        assert (await origin.publish(hello_archive("newpackage"), bob)).status_code == 200

        async def shows(path: str, words: bytes) -> bool:
            answer = await reader.get(path)
            return answer.status_code == 200 and words in answer.content

        await eventually(lambda: shows("/index/ne/wp/newpackage", b'"version":"0.1.0"'))
        assert (await reader.get("/dl/newpackage/0.1.0/download")).content == hello_archive("newpackage")
        print(f"visible in the mirror after {time.monotonic() - began:.1f} s")
        carol = await origin.add_publisher("carol", "owner.manage", "admin")
        yank = "/v1/packages/hello/0.2.0%2Bb.1/yank"
        assert (await origin.http.post(yank, json={"yanked": True}, headers=carol)).status_code == 200
        await eventually(lambda: _has_two_yanks(reader))
        await eventually(lambda: _in_catalog(made, b'"newpackage"'))


async def _has_two_yanks(reader: httpx.AsyncClient) -> bool:
    return (await reader.get("/index/he/ll/hello")).content.count(b'"yanked":true') == 2


async def _in_catalog(made: Path, words: bytes) -> bool:
    return words in (made / "index/catalog.json").read_bytes()


@pytest.mark.timeout(180)
async def test_a_follower_waits_for_an_origin_that_is_away(origin: Registry, tmp_path: Path) -> None:
    """It reports that and continues."""
    made, log = tmp_path / "mirror", tmp_path / "mirror.log"
    proxy = FaultProxy.before(origin.url)
    async with (
        proxy.running(),
        following(f"http://127.0.0.1:{proxy.port}", made, "--every", "0.2") as process,
    ):
        proxy.inject(Refuse())
        await eventually(lambda: _says(log, "cannot be read"))
        assert process.is_running
        bob = await origin.add_publisher("bob")
        async with httpx.AsyncClient(
            base_url=origin.url, timeout=60
        ) as fresh:  # the other client's connection was idle for too long
            answer = await fresh.post("/v1/packages/publish", content=hello_archive("later"), headers=bob)
        assert answer.status_code == 200
        proxy.heal()
        await eventually(lambda: _in_catalog(made, b'"later"'))


async def _says(log: Path, words: str) -> bool:
    return words in log.read_text()
