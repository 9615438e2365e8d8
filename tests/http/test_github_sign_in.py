"""Signing in with GitHub: the redirects, and attempts to misuse them (contract, 5.3, 5.4)."""

from __future__ import annotations

import asyncio
import re
from urllib.parse import quote

from starlette.responses import Response

from tests.browser import CALLBACK, Browser, query_of, refusal
from tests.github_server import CLIENT_ID, CLIENT_SECRET, EMAILS, TOKEN, USER, GithubServer, email, instead
from tests.http.conftest import PUBLIC_BASE, MakeBrowser
from tests.stack import Registry


async def test_a_person_signs_in_and_returns_to_the_page_they_left(
    browser: Browser, github_registry: Registry
) -> None:
    """There is a redirect, one cookie, a session and a user, and the attempt is deleted."""
    answer = await browser.sign_in("octo", "/packages?q=a%20b#top")

    assert answer.status_code == 302
    assert answer.headers["location"] == "https://web.example/ui/packages?q=a%20b#top"
    assert answer.headers["cache-control"] == "no-store"
    (cookie,) = answer.headers.get_list("set-cookie")
    assert re.fullmatch(
        r"x07_session=x07s_[0-9a-f]{64}; Path=/; Max-Age=2592000; HttpOnly; SameSite=Lax", cookie
    )
    assert (await browser.session())["user"]["handle"] == "octo"
    assert await github_registry.rows("SELECT 1 FROM oauth_states") == []
    assert await github_registry.rows("SELECT 1 FROM oauth_state_secrets") == []
    (user,) = await github_registry.rows("SELECT * FROM users")
    assert (user.handle, user.created_via, user.github_user_id) == ("octo", "github", 583231)
    assert (user.github_email, user.github_email_verified, user.github_email_primary) == (
        "octo@mail.invalid",
        True,
        True,
    )


async def test_the_way_to_github_is_as_the_contract_has_it_and_carries_pkce(
    browser: Browser, github: GithubServer
) -> None:
    """The parameters are in order and form-encoded, followed by RFC 7636's challenge."""
    started = await browser.start("/tokens")
    location = started.headers["location"]
    assert started.status_code == 302
    assert started.headers["cache-control"] == "no-store"
    assert re.fullmatch(
        re.escape(f"{github.url}/login/oauth/authorize?client_id={CLIENT_ID}&redirect_uri=")
        + re.escape(quote(PUBLIC_BASE + CALLBACK, safe=""))
        + r"&state=x07o_[0-9a-f]{64}&scope=read%3Auser\+user%3Aemail&allow_signup=true"
        + r"&code_challenge=[\w-]{43}&code_challenge_method=S256",
        location,
    )
    cookie = started.headers["set-cookie"]
    assert re.fullmatch(
        r"x07_oauth_browser=x07b_[0-9a-f]{64}; Path=/v1/auth/github; Max-Age=600; HttpOnly; SameSite=Lax",
        cookie,
    )


async def test_github_is_asked_as_the_contract_has_it(browser: Browser, github: GithubServer) -> None:
    """User agent, accept, form and bearer are right; GitHub would refuse a verifier of another challenge."""
    await browser.sign_in("octo")
    token, user, emails = github.asked
    assert [token.path, user.path, emails.path] == [TOKEN, USER, EMAILS]
    assert all(exchange.headers["user-agent"] == "x07-registry" for exchange in github.asked)
    assert token.headers["accept"] == "application/json"
    assert list(token.form) == ["client_id", "client_secret", "code", "redirect_uri", "code_verifier"]
    assert token.form["client_secret"] == CLIENT_SECRET
    assert token.form["redirect_uri"] == PUBLIC_BASE + CALLBACK
    assert re.fullmatch(r"[\w-]{43}", token.form["code_verifier"])
    assert user.headers["authorization"].startswith("Bearer gho_")
    assert user.headers["authorization"] == emails.headers["authorization"]


async def test_nothing_of_one_sign_in_goes_along_with_the_next(
    new_browser: MakeBrowser, github: GithubServer
) -> None:
    """GitHub sets a cookie with the token; the pooled client never sends it back."""
    for _ in range(2):
        await (await new_browser()).sign_in("octo")
    assert len(github.asked) == 6
    assert not any("cookie" in exchange.headers for exchange in github.asked)


async def test_a_code_stolen_on_its_way_back_is_worth_nothing_with_another_attempt(
    new_browser: MakeBrowser, github: GithubServer
) -> None:
    """PKCE: the verifier of another attempt does not redeem the code."""
    thief, victim = await new_browser(), await new_browser()
    stolen = query_of(await victim.way_back("octo"))["code"]
    own_state = query_of((await thief.start()).headers["location"])["state"]
    answer = await thief.http.get(CALLBACK, params={"code": stolen, "state": own_state})
    assert refusal(answer) == (502, "X07REG_GITHUB_OAUTH_TOKEN_EXCHANGE_FAILED")
    assert answer.json()["message"] == "The code passed is incorrect or expired."


async def test_a_state_is_good_for_one_callback(browser: Browser, github_registry: Registry) -> None:
    """A second callback with the same URL is refused, whoever sends it."""
    back = await browser.way_back("octo")
    assert (await browser.http.get(back)).status_code == 302
    assert refusal(await browser.http.get(back)) == (400, "X07REG_GITHUB_OAUTH_STATE_INVALID")
    assert len(await github_registry.rows("SELECT 1 FROM web_sessions")) == 1


async def test_of_two_callbacks_at_once_one_uses_the_state(
    browser: Browser, github_registry: Registry, github: GithubServer
) -> None:
    """The state is deleted by a single statement."""
    back = await browser.way_back("octo")
    answers = await asyncio.gather(*(browser.http.get(back) for _ in range(5)))
    assert sorted(answer.status_code for answer in answers) == [302, 400, 400, 400, 400]
    assert len(await github_registry.rows("SELECT 1 FROM web_sessions")) == 1
    assert [exchange.path for exchange in github.asked] == [TOKEN, USER, EMAILS]


async def test_a_failed_callback_uses_the_state_up_too(browser: Browser, github: GithubServer) -> None:
    """The user has to begin again."""
    back = await browser.way_back("octo")
    github.answers[TOKEN] = instead(500)
    assert refusal(await browser.http.get(back))[0] == 502
    del github.answers[TOKEN]
    assert refusal(await browser.http.get(back)) == (400, "X07REG_GITHUB_OAUTH_STATE_INVALID")


WAYS_BACK = {
    None: "/",
    "": "/",
    "  ": "/",
    " /tokens\n": "/tokens",
    "/p?a=1&b=%2F#c": "/p?a=1&b=%2F#c",
    '/größe|"x y"': "/gr%C3%B6%C3%9Fe%7C%22x%20y%22",
    "/@evil.example": "/@evil.example",
    "/%0d%0aset-cookie:a": "/%0d%0aset-cookie:a",
}


async def test_a_next_within_the_web_ui_is_where_the_browser_returns(browser: Browser) -> None:
    """It is below web_base, as requested; characters that a header cannot contain are escaped."""
    for next_url, location in WAYS_BACK.items():
        answer = await browser.sign_in("octo", next_url)
        assert answer.headers["location"] == f"https://web.example/ui{location}"


async def test_redirects_of_github_are_followed(browser: Browser, github: GithubServer) -> None:
    """A moved API is followed."""
    github.answers[USER] = Response(status_code=301, headers={"location": "/moved/user"})
    assert (await browser.sign_in("octo")).status_code == 302


ADDRESSES = [
    ([email("a@m", primary=False), email("b@m")], ("b@m", True, True)),
    ([email("a@m", verified=False), email("b@m", primary=False)], ("b@m", True, False)),
    ([email("a@m", primary=False), email("b@m", primary=False)], ("a@m", True, False)),
    ([email("a@m", verified=False)], (None, False, False)),
    ([], (None, False, False)),
]


async def test_only_a_verified_address_is_stored(
    browser: Browser, github: GithubServer, github_registry: Registry
) -> None:
    """The primary one if verified, else the first verified one, else none; updated at each sign-in."""
    for emails, stored in ADDRESSES:
        github.people["octo"].emails = emails
        await browser.sign_in("octo")
        (row,) = await github_registry.rows(
            "SELECT github_email, github_email_verified, github_email_primary FROM users"
        )
        assert tuple(row) == stored
        user = (await browser.session())["user"]
        assert (user["email"], user["email_verified"], user["email_primary"]) == stored
