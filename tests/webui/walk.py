"""A person's steps in a real browser, from sign-in to a yanked version (`make browser-test`).

The page is a small web UI on its own origin. It is not part of `make test`, which needs no browser.
"""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest_asyncio
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from shared.settings import Settings
from tests.archives import hello_archive
from tests.github_server import CLIENT_ID, CLIENT_SECRET, GithubServer
from tests.stack import Registry, bearer, eventually, running_registry, serving
from tests.webui.webdriver import DEADLINE_S, Chromium, chromium

PAGE = (Path(__file__).parent / "page.html").read_text()


async def page(_: Request) -> Response:
    """The web UI."""
    return HTMLResponse(PAGE)


@dataclass
class Web:
    """A registry, a web UI that it knows, one that it does not know, and a browser. Addresses are URLs."""

    registry: Registry
    known: str
    stranger: str
    window: Chromium

    def page_of(self, origin: str) -> str:
        """The page of an origin, with the registry's address."""
        return f"{origin}/?api={self.registry.url.removeprefix('http://')}"


@pytest_asyncio.fixture
async def web(new_database: Callable[[], Awaitable[str]], valkey: Any, tmp_path: Path) -> AsyncIterator[Web]:
    """All servers on loopback, each at its own port; octo and bob have GitHub accounts."""
    github, site = GithubServer(), Starlette(routes=[Route("/", page)])
    async with AsyncExitStack() as stack:
        github.url = await stack.enter_async_context(serving(github.app))
        known = await stack.enter_async_context(serving(site))
        stranger = await stack.enter_async_context(serving(site))
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        github.add("octo", 583231)
        settings = Settings(
            database_url=await new_database(),
            redis_url=valkey.url,
            redis_namespace=tmp_path.name,
            data_dir=tmp_path / "tree",
            catalog_debounce_seconds=0.02,
            sweep_seconds=0.5,
            publish_wait_seconds=30,
            public_base=f"http://127.0.0.1:{listener.getsockname()[1]}",
            web_base=known,
            cors_origins=(known,),
            github_client_id=CLIENT_ID,
            github_client_secret=CLIENT_SECRET,
            github_authorize_base=github.url,
            github_api_base=github.url,
            session_cookie_secure=False,
        )
        registry = await stack.enter_async_context(running_registry(settings, listener=listener))
        await registry.add_user("bob")
        yield Web(registry, known, stranger, await stack.enter_async_context(chromium()))


async def test_a_person_signs_in_makes_a_token_publishes_adds_an_owner_and_yanks(web: Web) -> None:
    """The browser sees each change in the index, and another site can do none of it."""
    window, registry = web.window, web.registry
    await window.open(web.page_of(web.known))
    await window.until_text("#handle", "nobody")

    await window.click("#sign-in")
    await window.click('button[value="octo"]')
    await window.until_text("#handle", "octo")
    assert await window.url() == web.page_of(web.known)
    assert {cookie["name"]: cookie["httpOnly"] for cookie in await window.cookies()} == {"x07_session": True}
    assert await window.run("return document.cookie") == ""

    await window.click("#make-token")
    token = await window.until_text("#token", "x07t_")
    published = await registry.publish(hello_archive(), bearer(token))
    assert (published.status_code, published.headers["x-x07-index-published"]) == (200, "true")
    await until_seen(window, '"yanked":false', '"owners":["octo"]', '"latest":"0.1.0"')

    await window.type("#add-owner input[name=handle]", "bob")
    await window.click("#add-owner button")
    await window.until_text("#said", "owners: 200")
    await until_seen(window, '"owners":["bob","octo"]')

    await require_powerless(web)

    await window.open(web.page_of(web.known))
    await window.until_text("#handle", "octo")
    await window.click("#yank button")
    await window.until_text("#said", "yank: 200")
    await until_seen(window, '"yanked":true', without='"latest":')


async def until_seen(window: Chromium, *wanted: str, without: str = "\0") -> None:
    """Read index, owners and catalog until the browser sees all of this, and nothing that must be gone."""

    async def is_seen() -> bool:
        await window.click("#look")
        seen = await window.text("#seen")
        return all(text in seen for text in wanted) and without not in seen

    await eventually(is_seen, DEADLINE_S)


async def require_powerless(web: Web) -> None:
    """A page of another origin in the signed-in browser reads nothing and changes nothing."""
    window = web.window
    await window.open(web.page_of(web.stranger))
    await window.until_text("#said", "GET /v1/auth/session: blocked")
    await window.click("#make-token")
    await window.until_text("#said", "POST /v1/tokens: blocked")
    await window.click("#yank button")
    await window.until_text("#said", "yank: blocked")
    (rows,) = await web.registry.rows("SELECT count(*) AS tokens FROM tokens")
    assert rows.tokens == 1
    (version,) = await web.registry.rows("SELECT yanked FROM package_versions")
    assert not version.yanked
