"""A registry below a path (`https://host/registry`): its addresses lead there, on both tiers."""

from __future__ import annotations

import json
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import httpx
import pytest
from starlette.types import ASGIApp, Receive, Scope, Send

from api.read.fast_path import FastProtocol
from deploy.asgi import build_combined_app, build_read_app, build_write_app
from deploy.openapi.__main__ import DOCUMENT
from shared.http.guarded_protocol import GuardedProtocol
from shared.settings import Settings
from tests.archives import hello_archive
from tests.conftest import MakeSettings
from tests.stack import running_registry, serving

PATH = "/registry"
Build = Callable[[Settings], ASGIApp]


def below_path(build: Build) -> Build:
    """The application behind a proxy that removes the path, and knows nothing outside of it."""

    def built(settings: Settings) -> ASGIApp:
        app = build(settings)

        async def proxy(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] == "http":
                if not scope["path"].startswith(f"{PATH}/"):
                    await send({"type": "http.response.start", "status": 502, "headers": []})
                    await send({"type": "http.response.body"})
                    return
                raw = scope["raw_path"].removeprefix(PATH.encode())
                scope = {**scope, "path": scope["path"].removeprefix(PATH), "raw_path": raw}
            await app(scope, receive, send)

        return proxy

    return built


@asynccontextmanager
async def tier_below_path(make_settings: MakeSettings, build: Build) -> AsyncIterator[str]:
    """The public base of a registry with one package, of which only this tier runs, below the path."""
    listener = socket.create_server(("127.0.0.1", 0))
    base = f"http://127.0.0.1:{listener.getsockname()[1]}{PATH}"
    settings = await make_settings(public_base=base, publish_wait_seconds=20, catalog_debounce_seconds=0.02)
    async with running_registry(settings) as registry:
        answer = await registry.publish(hello_archive(), await registry.add_publisher())
        assert answer.status_code == 200, answer.text
        await registry.until_in_catalog("hello", "0.1.0")
    protocol = GuardedProtocol if build is build_write_app else FastProtocol  # as in deploy/serve.py
    async with serving(below_path(build)(settings), protocol, listener):
        yield base


@pytest.mark.parametrize("build", [build_read_app, build_write_app, build_combined_app])
async def test_addresses_lead_below_the_path(make_default_settings: MakeSettings, build: Build) -> None:
    """Clients follow redirects, the service document and the OpenAPI document's server."""
    async with (
        tier_below_path(make_default_settings, build) as base,
        httpx.AsyncClient(base_url=base.removesuffix(PATH), follow_redirects=True, timeout=30) as http,
    ):
        service = (await http.get(f"{PATH}/")).json()
        addresses = {name: service[name] for name in ("catalog", "healthz", "index", "openapi")}
        assert addresses == {
            "catalog": f"{PATH}/index/catalog.json",
            "healthz": f"{PATH}/healthz",
            "index": f"{PATH}/index/",
            "openapi": f"{PATH}/openapi/openapi.json",
        }
        assert (service["service"], service["web"]) == ("x07-registry", "https://x07.io")
        assert (await http.get(service["healthz"])).text == "ok"
        document = (await http.get(f"{PATH}/openapi")).json()
        assert document["servers"] == [{"url": f"{PATH}/"}]
        assert {**document, "servers": [{"url": "/"}]} == json.loads(DOCUMENT.read_bytes())
        if build is not build_write_app:  # it does not serve the index
            await read_the_index(http, base, service)


async def read_the_index(http: httpx.AsyncClient, base: str, service: dict[str, str]) -> None:
    """Redirects lead to the catalog, and config.json to the archive."""
    catalogs = [await http.get(f"{PATH}{path}") for path in ("/index", "/index/")]
    catalogs.append(await http.get(service["catalog"]))
    assert {(answer.status_code, answer.json()["packages"][0]["name"]) for answer in catalogs} == {
        (200, "hello")
    }
    config = (await http.get(f"{PATH}/index/config.json")).json()
    assert (config["dl"], config["api"]) == (f"{base}/v1/packages/", f"{base}/v1/")
    assert (await http.get(f"{config['dl']}hello/0.1.0/download")).content == hello_archive()
