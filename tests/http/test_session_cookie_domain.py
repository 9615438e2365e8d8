"""The session cookie's domain was changed, so that browsers hold cookies of both forms."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http.cookiejar import CookieJar
from typing import Any

import httpx
import pytest

from api.write.sessions import cleared_session_cookies
from shared.settings import Settings
from tests.browser import WEB_ORIGIN, Browser, refusal
from tests.github_server import GithubServer
from tests.stack import Registry, running_registry

HOST = "registry.web.example"
DOMAIN = "web.example"
# The domain of the cookie before and after the operator changed it.
CHANGES = [(None, DOMAIN), (DOMAIN, None), (DOMAIN, HOST), (HOST, None)]


class Resolver(httpx.AsyncHTTPTransport):
    """Resolves HOST to this machine, so that a client's cookie jar stores cookies by that name."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send the request to this machine under its own Host."""
        here = request.url.copy_with(host="127.0.0.1")
        return await super().handle_async_request(
            httpx.Request(
                request.method,
                here,
                headers=request.headers,
                stream=request.stream,
                extensions=request.extensions,
            )
        )


@asynccontextmanager
async def browser_at(
    settings: Settings, github: GithubServer, jar: CookieJar, **changes: Any
) -> AsyncIterator[tuple[Browser, Registry]]:
    """A browser with these cookies at a registry with these settings."""
    changed = settings.model_copy(update={"public_base": f"http://{HOST}", **changes})
    async with running_registry(changed, with_worker=False) as registry:
        url = registry.url.replace("127.0.0.1", HOST)
        async with httpx.AsyncClient(base_url=url, transport=Resolver(), timeout=60) as client:
            client.cookies.jar = jar
            yield Browser(client, github.url), registry


def session_secrets(jar: CookieJar) -> list[str]:
    """The values of the session cookies in a jar."""
    return [str(one.value) for one in jar if one.name == "x07_session"]


def plant(jar: CookieJar, secret: str, domain: str | None) -> None:
    """Add a session's cookie of either form to the jar."""
    form = f"; Domain={domain}" if domain else ""
    cookies = httpx.Cookies()
    answer = httpx.Response(
        200,
        headers={"set-cookie": f"x07_session={secret}; Path=/{form}"},
        request=httpx.Request("GET", f"http://{HOST}/"),
    )
    cookies.jar = jar
    cookies.extract_cookies(answer)


@pytest.mark.parametrize(("before", "after"), CHANGES)
@pytest.mark.parametrize("old_is_valid", [True, False])
async def test_a_browser_with_both_cookies_uses_its_session_and_ends_both(
    before: str | None,
    after: str | None,
    old_is_valid: bool,
    github_settings: Settings,
    github: GithubServer,
) -> None:
    """Servers that replaced only one form left browsers in this state."""
    jar = CookieJar()
    async with browser_at(github_settings, github, jar, session_cookie_domain=before) as (browser, _):
        await browser.sign_in("octo")
    (old,) = session_secrets(jar)
    async with browser_at(github_settings, github, jar, session_cookie_domain=after) as (browser, registry):
        await browser.sign_in("octo")
        (new,) = session_secrets(jar)
        plant(jar, old if old_is_valid else "x07s_unknown", before)
        assert len(session_secrets(jar)) == 2
        assert old != new
        assert (await browser.session())["authenticated"] is True
        ended = await browser.http.post("/v1/auth/logout", headers=await browser.write_headers())
        assert ended.status_code == 204, ended.text
        assert session_secrets(jar) == []
        left = await registry.rows("SELECT 1 FROM web_sessions")
        assert len(left) == (0 if old_is_valid else 1)


@pytest.mark.parametrize(("before", "after"), CHANGES)
async def test_a_session_from_before_the_change_goes_on_and_can_be_ended(
    before: str | None, after: str | None, github_settings: Settings, github: GithubServer
) -> None:
    """Nobody has to sign in again because the cookie's domain changed."""
    jar = CookieJar()
    async with browser_at(github_settings, github, jar, session_cookie_domain=before) as (browser, _):
        await browser.sign_in("octo")
    async with browser_at(github_settings, github, jar, session_cookie_domain=after) as (browser, registry):
        assert (await browser.session())["authenticated"] is True
        await browser.http.post("/v1/auth/logout", headers=await browser.write_headers())
        assert session_secrets(jar) == []
        assert await registry.rows("SELECT 1 FROM web_sessions") == []


async def test_of_two_sessions_of_different_people_none_counts_until_the_next_sign_in(
    github_settings: Settings, github: GithubServer
) -> None:
    """One of them may have been planted from a neighbouring host, and the server cannot tell which."""
    github.add("mallory", 666)
    mallorys, jar = CookieJar(), CookieJar()
    async with browser_at(github_settings, github, mallorys) as (mallory, registry):
        await mallory.sign_in("mallory")
        (planted,) = session_secrets(mallorys)
        async with httpx.AsyncClient(
            base_url=registry.url.replace("127.0.0.1", HOST), transport=Resolver(), timeout=60
        ) as client:
            client.cookies.jar = jar
            browser = Browser(client, github.url)
            await browser.sign_in("octo")
            plant(jar, planted, DOMAIN)
            assert (await browser.session())["authenticated"] is False
            answer = await client.get("/v1/tokens", headers={"origin": WEB_ORIGIN})
            assert refusal(answer) == (401, "X07REG_AUTH_INVALID")
            assert answer.json()["message"] == "x07_session cookies of different users; sign in again"
            await browser.sign_in("octo")
            assert (await browser.session())["user"]["handle"] == "octo"
            assert len(session_secrets(jar)) == 1


@pytest.mark.parametrize(
    ("public_base", "configured", "domains"),
    [
        ("http://127.0.0.1:8080", None, [None]),
        ("http://[::1]:8080", None, [None]),
        ("http://localhost", None, [None]),
        ("https://registry.x07.io/base", "x07.io", ["x07.io", None, "registry.x07.io"]),
        ("https://registry.x07.io", None, [None, "registry.x07.io", "x07.io"]),
    ],
)
def test_a_cookie_is_cleared_under_every_domain_that_it_may_have_had(
    public_base: str, configured: str | None, domains: list[str | None]
) -> None:
    """The configured domain comes first; addresses and bare names have no domain."""
    settings = Settings(public_base=public_base, session_cookie_domain=configured)
    plain, secure = "x07_session=; Path=/; Max-Age=0; HttpOnly; SameSite=Lax", "; Secure"
    assert cleared_session_cookies(settings) == [
        plain + (f"; Domain={domain}" if domain else "") + secure for domain in domains
    ]
