"""Web sessions: the cookie, who is signed in, CSRF, and how a session ends (contract, 1.6, 5.2, 5.5, 5.6)."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from structlog.testing import capture_logs

from shared.settings import Settings
from tests.browser import WEB_ORIGIN, Browser, refusal
from tests.github_server import GithubServer
from tests.http.conftest import ADMIN_GITHUB_ID, MakeBrowser
from tests.stack import Registry, bearer, running_registry

ANONYMOUS = {"ok": True, "authenticated": False}
SCOPES = ["owner.manage", "publish", "token.manage"]
CSRF = "X07REG_CSRF_"


async def signed_in(browser: Browser, login: str = "octo") -> str:
    """Sign in; the session's secret."""
    assert (await browser.sign_in(login)).status_code == 302
    secret = browser.http.cookies["x07_session"]
    assert secret is not None
    return secret


def cookie(value: str) -> dict[str, str]:
    """A Cookie header with just this value."""
    return {"cookie": f"x07_session={value}"}


async def test_a_session_says_who_is_signed_in(browser: Browser) -> None:
    """Every field in the contract's order, and no cache may keep it."""
    await signed_in(browser)
    answer = await browser.http.get("/v1/auth/session")
    assert answer.headers["cache-control"] == "no-store"
    body = answer.json()
    assert body["csrf_token"].startswith("x07c_")
    assert len(body["csrf_token"]) == 69
    assert list(body) == ["ok", "authenticated", "csrf_token", "user"]
    user = body["user"]
    assert list(user.items()) == [
        ("id", user["id"]),
        ("handle", "octo"),
        ("github_user_id", 583231),
        ("github_login", "octo"),
        ("avatar_url", "https://github.invalid/octo"),
        ("profile_url", "https://github.invalid/octo"),
        ("email", "octo@mail.invalid"),
        ("email_verified", True),
        ("email_primary", True),
        ("is_admin", False),
        ("scopes", SCOPES),
    ]


async def test_nobody_is_signed_in_without_a_session_that_works(
    browser: Browser, github_registry: Registry
) -> None:
    """Never 401: absent, unknown and expired cookies, and bearer tokens, are nobody."""
    answer = await browser.http.get("/v1/auth/session")
    assert answer.headers["cache-control"] == "no-store"
    assert answer.content == b'{"ok":true,"authenticated":false}'
    publisher = await github_registry.add_publisher()
    for headers in (publisher, cookie("x07s_unknown"), cookie(""), cookie("\xff"), {"cookie": "x07_session"}):
        answer = await browser.http.get(
            "/v1/auth/session", headers={key: value.encode("latin-1") for key, value in headers.items()}
        )
        assert (answer.status_code, answer.json()) == (200, ANONYMOUS), headers


async def test_head_of_a_session_is_its_get_without_a_body(browser: Browser) -> None:
    """RFC 9110, 9.3.2."""
    await signed_in(browser)
    get, head = await browser.http.get("/v1/auth/session"), await browser.http.head("/v1/auth/session")
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-length"] == get.headers["content-length"]


async def test_an_expired_session_is_nobody_and_removed(browser: Browser, github_registry: Registry) -> None:
    """Expiry is the database's; a route that needs a session says so once."""
    await signed_in(browser)
    headers = await browser.write_headers()
    await github_registry.rows("UPDATE web_sessions SET expires_at = now() RETURNING 1")
    answer = await browser.http.post("/v1/auth/logout", headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (401, "X07REG_AUTH_EXPIRED")
    assert answer.json()["message"] == "session expired"
    assert await github_registry.rows("SELECT 1 FROM web_sessions") == []
    assert await browser.session() == ANONYMOUS


async def test_only_a_hash_of_the_session_is_stored(browser: Browser, github_registry: Registry) -> None:
    """Who reads the database cannot sign in with it."""
    secret = await signed_in(browser)
    (row,) = await github_registry.rows("SELECT * FROM web_sessions")
    assert secret not in str(tuple(row))
    answer = await github_registry.http.get("/v1/tokens", headers=cookie(row.session_token_hash))
    assert refusal(answer) == (401, "X07REG_AUTH_INVALID")


async def test_a_session_that_a_browser_brings_along_is_never_taken_over(browser: Browser) -> None:
    """Session fixation: signing in makes a new secret, whatever was planted."""
    planted = "x07s_" + "0" * 64
    back = await browser.way_back("octo")
    browser.http.cookies.set("x07_session", planted, domain="127.0.0.1", path="/")
    assert (await browser.http.get(back)).status_code == 302
    values = [item.value for item in browser.http.cookies.jar if item.name == "x07_session"]
    assert any(value != planted for value in values)
    browser.http.cookies.clear()
    assert (await browser.http.get("/v1/auth/session", headers=cookie(planted))).json() == ANONYMOUS


async def test_a_cookie_header_is_read_part_by_part(browser: Browser, github_registry: Registry) -> None:
    """Parts without `=` are skipped, values may hold `=`, and only the first Cookie line counts."""
    secret = await signed_in(browser)
    good, other = f"x07_session={secret}", f"x07_session={secret}0"
    cases: list[tuple[list[str], bool]] = [
        ([good], True),
        ([f"junk; a=b=c;;  {good} ;other"], True),
        ([f"a=b;\t{good}\t;"], True),
        ([f"x07_session=; {good}"], True),
        ([f"{good}; {good}"], True),
        ([f"{good}; {other}"], False),
        ([f"{other}; {good}"], False),
        ([f"X07_SESSION={secret}"], False),
        ([f"x07_session ={secret}"], False),
        ([f'x07_session="{secret}"'], False),
        ([good, "a=b"], True),
        (["a=b", good], False),
        ([f"{good}=more"], False),
    ]
    for lines, works in cases:
        headers = [("cookie", line) for line in lines]
        answer = await github_registry.http.get("/v1/auth/session", headers=headers)
        assert answer.json()["authenticated"] is works, lines
    answer = await github_registry.http.get("/v1/tokens", headers={"cookie": f"{good}; {other}"})
    assert refusal(answer) == (401, "X07REG_AUTH_INVALID")
    assert answer.json()["message"] == "more than one x07_session cookie"


async def test_logging_out_ends_the_session_and_takes_the_cookie_back(
    browser: Browser, github_registry: Registry
) -> None:
    """204 without a body; the secret is worth nothing from there on."""
    secret = await signed_in(browser)
    answer = await browser.http.post("/v1/auth/logout", headers=await browser.write_headers())
    assert (answer.status_code, answer.content) == (204, b"")
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["set-cookie"] == "x07_session=; Path=/; Max-Age=0; HttpOnly; SameSite=Lax"
    assert await github_registry.rows("SELECT 1 FROM web_sessions") == []
    assert (await browser.http.get("/v1/auth/session", headers=cookie(secret))).json() == ANONYMOUS
    again = await browser.http.post("/v1/auth/logout", headers={**cookie(secret), "origin": WEB_ORIGIN})
    assert refusal(again) == (401, "X07REG_AUTH_INVALID")


async def test_logging_out_ends_one_session_of_several(
    new_browser: MakeBrowser, github_registry: Registry
) -> None:
    """The same person elsewhere stays signed in."""
    here, there = await new_browser(), await new_browser()
    await signed_in(here)
    await signed_in(there)
    await here.http.post("/v1/auth/logout", headers=await here.write_headers())
    assert (await there.session())["authenticated"] is True
    assert len(await github_registry.rows("SELECT 1 FROM web_sessions")) == 1


async def test_logging_out_takes_no_bearer_token(browser: Browser, github_registry: Registry) -> None:
    """A token is not a session, and a bad one does not spoil one."""
    publisher = await github_registry.add_publisher()
    answer = await browser.http.post("/v1/auth/logout", headers=publisher)
    assert refusal(answer) == (401, "X07REG_AUTH_REQUIRED")
    assert answer.json()["message"] == "missing x07_session cookie"
    await signed_in(browser)
    headers = {**await browser.write_headers(), **bearer("bad")}
    assert (await browser.http.post("/v1/auth/logout", headers=headers)).status_code == 204


async def test_csrf_is_checked_in_the_order_of_the_contract(
    browser: Browser, new_browser: MakeBrowser, github_registry: Registry
) -> None:
    """Origin present, origin listed, token present, token right; and then nothing has been written."""
    await signed_in(browser)
    own = (await browser.session())["csrf_token"]
    stranger = await new_browser()
    await signed_in(stranger)
    others = (await stranger.session())["csrf_token"]
    token = {"x-x07-csrf": own}
    origin = {"origin": WEB_ORIGIN}
    cases: list[tuple[dict[str, Any], str]] = [
        ({}, "ORIGIN_REQUIRED"),
        (token, "ORIGIN_REQUIRED"),
        ({**token, "origin": b"https://web.example\xff"}, "ORIGIN_REQUIRED"),
        ({"origin": "https://evil.example"}, "ORIGIN_FORBIDDEN"),
        ({**token, "origin": "https://web.example/"}, "ORIGIN_FORBIDDEN"),
        ({**token, "origin": "https://WEB.example"}, "ORIGIN_FORBIDDEN"),
        ({**token, "origin": "http://web.example"}, "ORIGIN_FORBIDDEN"),
        ({**token, "origin": "null"}, "ORIGIN_FORBIDDEN"),
        ({**token, "origin": ""}, "ORIGIN_FORBIDDEN"),
        (origin, "REQUIRED"),
        ({**origin, "x-x07-csrf": b"\xff"}, "REQUIRED"),
        ({**origin, "x-x07-csrf": ""}, "INVALID"),
        ({**origin, "x-x07-csrf": own[:-1]}, "INVALID"),
        ({**origin, "x-x07-csrf": own.upper()}, "INVALID"),
        ({**origin, "x-x07-csrf": others}, "INVALID"),
    ]
    for headers, code in cases:
        for path in ("/v1/tokens", "/v1/auth/logout"):
            answer = await browser.http.post(path, json={}, headers=headers)
            assert refusal(answer) == (403, CSRF + code), (path, headers)
    assert len(await github_registry.rows("SELECT 1 FROM web_sessions")) == 2
    assert await github_registry.rows("SELECT 1 FROM tokens") == []


async def test_a_cookie_writes_with_origin_and_token_and_reads_without(
    browser: Browser, github_registry: Registry
) -> None:
    """The web UI's way to a token; the audit event names no token as its actor."""
    await signed_in(browser)
    created = await browser.http.post("/v1/tokens", json={}, headers=await browser.write_headers())
    assert created.status_code == 200, created.text
    assert created.headers["cache-control"] == "no-store"
    listed = await browser.http.get("/v1/tokens")
    assert [row["id"] for row in listed.json()["tokens"]] == [created.json()["token_id"]]
    assert listed.headers["cache-control"] == "no-store"
    (event,) = await github_registry.rows("SELECT * FROM audit_events")
    (user,) = await github_registry.rows("SELECT id FROM users")
    assert (event.actor_user_id, event.actor_token_id) == (user.id, None)


async def test_a_bearer_token_wins_over_the_cookie_and_needs_no_csrf(
    browser: Browser, github_registry: Registry
) -> None:
    """A present but bad one never falls back; two are refused; another scheme counts as none."""
    await signed_in(browser)
    publisher = await github_registry.add_publisher("alice", "token.manage")
    created = await browser.http.post("/v1/tokens", json={"scopes": ["token.manage"]}, headers=publisher)
    assert created.status_code == 200
    (alice,) = await github_registry.rows("SELECT id FROM users WHERE handle = 'alice'")
    rows = await github_registry.rows("SELECT DISTINCT user_id FROM tokens")
    assert [row.user_id for row in rows] == [alice.id]
    bad = await browser.http.get("/v1/tokens", headers=bearer("bad"))
    assert refusal(bad) == (401, "X07REG_AUTH_INVALID")
    two = [*publisher.items(), ("authorization", "Bearer bad")]
    assert refusal(await browser.http.get("/v1/tokens", headers=two)) == (401, "X07REG_AUTH_INVALID")
    assert refusal(await browser.http.get("/v1/account", headers=two)) == (401, "X07REG_AUTH_INVALID")
    for other in ("Basic eDp5", "bearer x", "Bearer", b"Bearer \xff"):
        answer = await browser.http.get("/v1/tokens", headers={"authorization": other})
        assert answer.json() == {"ok": True, "tokens": []}, other


async def test_a_session_is_not_accepted_where_a_token_is_needed(browser: Browser) -> None:
    """Account, token check and publish are for tokens."""
    await signed_in(browser)
    headers = await browser.write_headers()
    for answer in (
        await browser.http.get("/v1/account"),
        await browser.http.post("/v1/auth/token", headers=headers),
        await browser.http.post("/v1/packages/publish", headers=headers),
    ):
        assert refusal(answer) == (401, "X07REG_AUTH_REQUIRED")
        assert answer.json()["message"] == "missing Authorization header"


async def test_an_administrator_is_one_by_the_settings_at_each_request(
    browser: Browser, github: GithubServer, github_registry: Registry, github_settings: Settings
) -> None:
    """The same session is an ordinary one where the id is not listed."""
    github.add("root", ADMIN_GITHUB_ID)
    secret = await signed_in(browser, "root")
    user = (await browser.session())["user"]
    assert (user["is_admin"], user["scopes"]) == (True, ["admin", *SCOPES])
    settings = github_settings.model_copy(update={"admin_github_user_ids": frozenset()})
    async with running_registry(settings, with_worker=False) as elsewhere:
        body = (await elsewhere.http.get("/v1/auth/session", headers=cookie(secret))).json()
        assert (body["user"]["is_admin"], body["user"]["scopes"]) == (False, SCOPES)
        headers = {**cookie(secret), "origin": WEB_ORIGIN, "x-x07-csrf": body["csrf_token"]}
        grown = await elsewhere.http.post("/v1/tokens", json={"scopes": ["admin"]}, headers=headers)
        assert refusal(grown) == (403, "X07REG_FORBIDDEN")


async def test_last_seen_is_written_soon_and_then_rarely_and_expiry_stays(
    new_browser: MakeBrowser, github_registry: Registry
) -> None:
    """A session in use costs no write a request, and does not live longer for it."""
    seen_since = "SELECT csrf_token, expires_at, xmin FROM web_sessions WHERE last_seen_at > '2021-01-01Z'"
    one, other = await new_browser(), await new_browser()
    await signed_in(one)
    (before,) = await github_registry.rows(
        "UPDATE web_sessions SET last_seen_at = '2020-01-01Z' RETURNING expires_at"
    )
    own = (await one.session())["csrf_token"]
    first = await github_registry.until_row(seen_since)
    assert first.expires_at == before.expires_at
    await signed_in(other)
    await github_registry.rows("UPDATE web_sessions SET last_seen_at = '2020-01-01Z' RETURNING 1")
    await one.session()
    others = (await other.session())["csrf_token"]
    written = await github_registry.until_row(seen_since)
    assert own != others == written.csrf_token
    assert len(await github_registry.rows(seen_since)) == 1


@pytest.mark.parametrize("origins", [("*",), ("*", WEB_ORIGIN), ()])
async def test_with_any_origin_or_none_allowed_a_cookie_writes_nothing(
    origins: tuple[str, ...], github_settings: Settings
) -> None:
    """CORS with `*` never carries credentials, so nothing may be written with a cookie either."""
    settings = github_settings.model_copy(update={"cors_origins": origins})
    async with (
        running_registry(settings, with_worker=False) as registry,
        httpx.AsyncClient(base_url=registry.url) as client,
    ):
        browser = Browser(client, "")
        await signed_in(browser)
        token = {"x-x07-csrf": (await browser.session())["csrf_token"]}
        for origin in (WEB_ORIGIN, "*"):
            answer = await client.post("/v1/auth/logout", headers={**token, "origin": origin})
            assert refusal(answer) == (403, CSRF + "ORIGIN_FORBIDDEN")
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
    """In the order of the contract, when set and when cleared; the database keeps at least a minute."""
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
        assert cleared.headers["set-cookie"] == (
            f"x07_session=; Path=/; Max-Age=0; HttpOnly; SameSite=Lax{suffix}"
        )


@pytest.mark.parametrize("origins", [("*",), ("*", WEB_ORIGIN), (WEB_ORIGIN,), ()])
async def test_an_operator_who_allows_any_origin_is_told_what_that_ends(
    origins: tuple[str, ...], github_settings: Settings
) -> None:
    """Every write of the web UI would fail, and nothing else would say why."""
    settings = github_settings.model_copy(update={"cors_origins": origins})
    with capture_logs() as logged:
        async with running_registry(settings, with_worker=False):
            pass
    told = [line["event"] for line in logged if line["log_level"] == "warning"]
    assert told == (["cors_allows_any_origin"] if "*" in origins else [])
