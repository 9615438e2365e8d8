"""Registries with GitHub sign-in, and a small GitHub server."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack

import httpx
import pytest_asyncio

from shared.http.authorities import trusted_authorities
from shared.settings import Settings
from tests.browser import WEB_ORIGIN, Browser
from tests.conftest import MakeSettings
from tests.github_server import CLIENT_ID, CLIENT_SECRET, GithubServer
from tests.stack import Registry, running_registry, serving

ADMIN_GITHUB_ID = 4242
PUBLIC_BASE = "http://registry.invalid"
MakeBrowser = Callable[[], Awaitable[Browser]]


@pytest_asyncio.fixture
async def github() -> AsyncIterator[GithubServer]:
    """A GitHub server with one user, octo."""
    server = GithubServer()
    async with serving(server.app) as url:
        server.url = url
        server.add("octo", 583231)
        yield server


@pytest_asyncio.fixture
async def github_settings(github: GithubServer, make_default_settings: MakeSettings) -> Settings:
    """Settings of a registry with GitHub sign-in, for browsers without https."""
    return await make_default_settings(
        publish_wait_seconds=0.1,
        catalog_debounce_seconds=0.02,
        sweep_seconds=0.5,
        public_base=PUBLIC_BASE,
        web_base=f"{WEB_ORIGIN}/ui",
        cors_origins=(WEB_ORIGIN,),
        github_client_id=CLIENT_ID,
        github_client_secret=CLIENT_SECRET,
        github_authorize_base=github.url,
        github_api_base=github.url,
        admin_github_user_ids=(ADMIN_GITHUB_ID,),
        session_cookie_secure=False,
    )


@pytest_asyncio.fixture
async def github_registry(github_settings: Settings) -> AsyncIterator[Registry]:
    """A registry with GitHub sign-in. No worker runs, so that no sweep changes rows during a test."""
    async with running_registry(github_settings, with_worker=False) as running:
        yield running


@pytest_asyncio.fixture
async def new_browser(github: GithubServer, github_registry: Registry) -> AsyncIterator[MakeBrowser]:
    """Creates browsers, each with its own cookies."""
    async with AsyncExitStack() as stack:

        async def make() -> Browser:
            client = httpx.AsyncClient(base_url=github_registry.url, timeout=60, verify=trusted_authorities())
            return Browser(await stack.enter_async_context(client), github.url)

        yield make


@pytest_asyncio.fixture
async def browser(new_browser: MakeBrowser) -> Browser:
    """A browser that has never signed in."""
    return await new_browser()
