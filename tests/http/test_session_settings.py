"""Settings of web sessions: allowed origins, and the attributes of the cookies (contract, 1.5, 1.6, 5.2)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from structlog.testing import capture_logs

from shared.settings import Settings
from tests.browser import WEB_ORIGIN, Browser, refusal
from tests.http.test_session import CSRF, signed_in
from tests.stack import running_registry


@asynccontextmanager
async def signed_in_beside(
    settings: Settings, origins: tuple[str, ...]
) -> AsyncIterator[tuple[httpx.AsyncClient, dict[str, str]]]:
    """A client with a session of a registry that these origins may call, and its CSRF header."""
    changed = settings.model_copy(update={"cors_origins": origins})
    async with (
        running_registry(changed, with_worker=False) as registry,
        httpx.AsyncClient(base_url=registry.url) as client,
    ):
        browser = Browser(client, "")
        await signed_in(browser)
        yield client, {"x-x07-csrf": (await browser.session())["csrf_token"]}


@pytest.mark.parametrize("origins", [("*",), ("*", "https://other.invalid"), ()])
async def test_with_any_origin_or_none_allowed_a_cookie_writes_nothing(
    origins: tuple[str, ...], github_settings: Settings
) -> None:
    """CORS with `*` never allows credentials, and `*` itself is not an origin that may write."""
    async with signed_in_beside(github_settings, origins) as (client, token):
        for origin in (WEB_ORIGIN, "*"):
            answer = await client.post("/v1/auth/logout", headers={**token, "origin": origin})
            assert refusal(answer) == (403, CSRF + "ORIGIN_FORBIDDEN")
            assert "access-control-allow-credentials" not in answer.headers


async def test_an_origin_listed_beside_any_may_still_write(github_settings: Settings) -> None:
    """As on the older server: the list decides who writes, `*` only affects CORS answers."""
    async with signed_in_beside(github_settings, ("*", WEB_ORIGIN)) as (client, token):
        answer = await client.post("/v1/auth/logout", headers={**token, "origin": WEB_ORIGIN})
        assert answer.status_code == 204
        assert answer.headers["access-control-allow-origin"] == "*"
        assert "access-control-allow-credentials" not in answer.headers


@pytest.mark.parametrize(
    ("changes", "start", "max_age", "suffix"),
    [
        ({"session_cookie_secure": True}, "", 2592000, "; Secure"),
        ({"session_cookie_domain": "web.example"}, "", 2592000, "; Domain=web.example"),
        (
            {"session_cookie_domain": "web.example", "session_cookie_secure": True},
            "",
            2592000,
            "; Domain=web.example; Secure",
        ),
        ({"session_ttl_seconds": 1}, "", 1, ""),
        ({"public_base": "https://registry.invalid/x", "oauth_state_ttl_seconds": 60}, "/x", 2592000, ""),
        (
            {"public_base": "https://registry.invalid", "session_cookie_secure": True},
            "",
            2592000,
            "; Secure",
        ),
    ],
)
async def test_cookies_have_the_attributes_that_the_settings_ask_for(
    changes: dict[str, Any], start: str, max_age: int, suffix: str, github_settings: Settings
) -> None:
    """The order is the contract's, when set and when cleared; the database keeps at least a minute."""
    settings = github_settings.model_copy(update=changes)
    async with (
        running_registry(settings, with_worker=False) as registry,
        httpx.AsyncClient(base_url=registry.url) as client,
    ):
        browser = Browser(client, "")
        started = await browser.start()
        planted = started.headers["set-cookie"]
        is_secure = settings.session_cookie_secure and settings.public_base.startswith("https")
        assert planted.endswith(
            f"; Path={start}/v1/auth/github; Max-Age={settings.oauth_state_ttl_seconds}"
            f"; HttpOnly; SameSite=Lax{'; Secure' if is_secure else ''}"
        )
        back = await browser.approve(started.headers["location"], "octo")
        path = back.removeprefix(start)
        keep = {"cookie": planted.split(";")[0]}
        answer = await client.get(path, headers=keep)
        value, _, attributes = answer.headers["set-cookie"].partition("; ")
        assert attributes == f"Path=/; Max-Age={max_age}; HttpOnly; SameSite=Lax{suffix}"
        headers = {"cookie": value}
        token = (await client.get("/v1/auth/session", headers=headers)).json()["csrf_token"]
        headers |= {"origin": WEB_ORIGIN, "x-x07-csrf": token}
        cleared = await client.post("/v1/auth/logout", headers=headers)
        assert cleared.headers.get_list("set-cookie")[0] == (
            f"x07_session=; Path=/; Max-Age=0; HttpOnly; SameSite=Lax{suffix}"
        )


@pytest.mark.parametrize("origins", [("*",), ("*", WEB_ORIGIN), (WEB_ORIGIN,), ()])
async def test_an_operator_who_allows_any_origin_is_told_what_that_ends(
    origins: tuple[str, ...], github_settings: Settings
) -> None:
    """The web UI would not work, and nothing else would explain it."""
    settings = github_settings.model_copy(update={"cors_origins": origins})
    with capture_logs() as logged:
        async with running_registry(settings, with_worker=False):
            pass
    told = [line["event"] for line in logged if line["log_level"] == "warning"]
    assert told == (["cors_allows_any_origin"] if "*" in origins else [])
