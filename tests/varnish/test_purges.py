"""Behind a Varnish whose copies last an hour, everybody sees a change when it was published."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest_asyncio
from starlette.types import ASGIApp

from deploy.asgi import build_combined_app
from shared.settings import Settings
from tests.archives import hello_archive
from tests.conftest import MakeSettings
from tests.edge.conftest import Tier
from tests.edge.nginx import free_port
from tests.log.logs import LOGGING
from tests.stack import Registry, eventually, running_registry
from tests.varnish.varnish import running_varnish

INDEX = "/index/he/ll/hello"
CATALOG = "/index/catalog.json"
KEPT = {INDEX: "package/hello", "/v1/packages/hello/0.1.0/metadata": "package/hello", CATALOG: "catalog"}
ARCHIVE = "/v1/packages/hello/0.1.0/download"
SECRET = "purge-7f9c24e8"
AN_HOUR = {"edge_fresh_seconds": 3600, "edge_stale_seconds": 0}


@dataclass
class Edge:
    """A registry behind Varnish. tier: the requests that came through it. registry.http bypasses it."""

    http: httpx.AsyncClient
    registry: Registry
    tier: Tier


@pytest_asyncio.fixture
async def edge(make_default_settings: MakeSettings, tmp_path: Path) -> AsyncIterator[Edge]:
    """A registry with a log behind a Varnish, which its worker purges."""
    port, tier = free_port(), Tier()
    settings = await make_default_settings(
        **AN_HOUR,
        **LOGGING,
        purge="varnish",
        purge_urls=(f"http://127.0.0.1:{port}/",),
        purge_secret=SECRET,
        catalog_debounce_seconds=0.02,
        sweep_seconds=0.5,
        publish_wait_seconds=20,
    )
    listener = socket.create_server(("127.0.0.1", 0))
    address = f"127.0.0.1:{listener.getsockname()[1]}"

    def watched(settings: Settings) -> ASGIApp:
        return tier.in_front_of(build_combined_app(settings))

    async with (
        running_varnish(tmp_path / "varnish", port, address, address, SECRET) as url,
        running_registry(settings, build_app=watched, listener=listener) as registry,
        httpx.AsyncClient(base_url=url, timeout=30) as http,
    ):
        yield Edge(http, registry, tier)


async def versions(edge: Edge) -> str:
    """The index file, as the edge answers it."""
    return (await edge.http.get(INDEX)).text


async def test_a_change_is_in_the_next_copies_although_they_last_an_hour(edge: Edge) -> None:
    """Index file and catalog follow; until then the edge answers from its copies, and asks nobody."""
    headers = await edge.registry.add_publisher()
    await edge.http.post("/v1/packages/publish", content=hello_archive(), headers=headers)
    await eventually(lambda: has_settled(edge))
    before = {path: (await edge.http.get(path)).headers["etag"] for path in KEPT}
    edge.tier.seen.clear()
    for path, key in KEPT.items():
        answer = await edge.http.get(path)
        assert "s-maxage=3600" in answer.headers["cache-control"], path
        assert answer.headers["surrogate-key"] == key
    assert edge.tier.seen == []

    await edge.http.post("/v1/packages/publish", content=hello_archive(version="0.2.0"), headers=headers)
    for path in (INDEX, CATALOG):

        async def is_new(path: str = path) -> bool:
            return (await edge.http.get(path)).headers["etag"] != before[path]

        await eventually(is_new)
    assert '"version":"0.2.0"' in await versions(edge)


async def has_settled(edge: Edge) -> bool:
    """True if everything is published, and every purge done."""
    are_there = [(await edge.http.get(path)).status_code == 200 for path in KEPT]
    return all(are_there) and await nothing_waits(edge)


async def test_what_is_kept_and_what_is_not(edge: Edge) -> None:
    """Archives stay when their package changes; what has to be new at once is not kept, nor are errors."""
    headers = await edge.registry.add_publisher("alice", "publish", "owner.manage")
    await edge.registry.add_user("bob")
    assert (await edge.http.get(INDEX)).status_code == 404
    for version in ("0.1.0", "0.2.0"):
        archive = hello_archive(version=version)
        await edge.http.post("/v1/packages/publish", content=archive, headers=headers)
        await eventually(lambda: has_settled(edge))
        assert f'"version":"{version}"' in await versions(edge)
        assert (await edge.http.get(ARCHIVE)).status_code == 200
    assert edge.tier.count(ARCHIVE) == 1

    at_root = await edge.http.get("/he/ll/hello", headers={"host": "index.x07.io"})
    assert at_root.text == await versions(edge)
    assert at_root.headers["surrogate-key"] == "package/hello"

    owners = "/v1/packages/hello/owners"
    assert (await edge.http.get(owners)).json()["owners"] == ["alice"]
    added = await edge.http.post(owners, json={"handle": "bob"}, headers=headers)
    assert added.headers["x-x07-index-published"] == "true"
    assert (await edge.http.get(owners)).json()["owners"] == ["alice", "bob"]
    assert (await edge.http.get("/v1/packages/hello")).json()["owners"] == ["alice", "bob"]
    assert (await edge.http.get("/v1/search?q=hello")).json()["total"] == 1


async def test_only_who_has_the_secret_purges(edge: Edge) -> None:
    """Anybody else could have the readers answer everything."""
    headers = await edge.registry.add_publisher()
    await edge.http.post("/v1/packages/publish", content=hello_archive(), headers=headers)
    await eventually(lambda: nothing_waits(edge))
    await versions(edge)
    edge.tier.seen.clear()
    for secret in ("", "PURGE_SECRET", "other"):
        purge = {"x-x07-purge": secret, "x-x07-keys": "."}
        assert (await edge.http.request("PURGE", "/", headers=purge)).status_code == 403
    await versions(edge)
    assert edge.tier.seen == []
    purge = {"x-x07-purge": SECRET, "x-x07-keys": "^package/hello$"}
    assert (await edge.http.request("PURGE", "/", headers=purge)).status_code == 204
    await versions(edge)
    assert edge.tier.count(INDEX) == 1


async def nothing_waits(edge: Edge) -> bool:
    """True if every purge is done."""
    return not await edge.registry.rows("SELECT 1 FROM edge_purges")
