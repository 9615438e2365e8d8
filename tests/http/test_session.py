"""Web sessions: the cookie, the signed-in user, CSRF, and logging out (contract, 1.6, 5.2, 5.5, 5.6)."""

from __future__ import annotations

from typing import Any

from shared.settings import Settings
from tests.browser import WEB_ORIGIN, Browser, refusal
from tests.github_server import GithubServer
from tests.http.conftest import ADMIN_GITHUB_ID, MakeBrowser
from tests.stack import Registry, bearer, running_registry

ANONYMOUS = {"ok": True, "authenticated": False}
SCOPES = ["owner.manage", "publish", "token.manage"]
CSRF = "X07REG_CSRF_"


async def signed_in(browser: Browser, login: str = "octo") -> str:
    """Sign in. Returns the session's secret."""
    assert (await browser.sign_in(login)).status_code == 302
    secret = browser.http.cookies["x07_session"]
    assert secret is not None
    return secret


def cookie(value: str) -> dict[str, str]:
    """A Cookie header with only this value."""
    return {"cookie": f"x07_session={value}"}


async def test_a_session_says_who_is_signed_in(browser: Browser) -> None:
    """Every field is in the contract's order, and the answer is not cacheable."""
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
    """The answer is never 401: other cookies and bearer tokens count as no session."""
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
    """The database decides about expiry; a route that needs a session reports it once."""
    await signed_in(browser)
    headers = await browser.write_headers()
    await github_registry.rows("UPDATE web_sessions SET expires_at = now() RETURNING 1")
    answer = await browser.http.post("/v1/auth/logout", headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (401, "X07REG_AUTH_EXPIRED")
    assert answer.json()["message"] == "session expired"
    assert await github_registry.rows("SELECT 1 FROM web_sessions") == []
    assert await browser.session() == ANONYMOUS


async def test_only_a_hash_of_the_session_is_stored(browser: Browser, github_registry: Registry) -> None:
    """Access to the database is not enough to sign in."""
    secret = await signed_in(browser)
    (row,) = await github_registry.rows("SELECT * FROM web_sessions")
    assert secret not in str(tuple(row))
    answer = await github_registry.http.get("/v1/tokens", headers=cookie(row.session_token_hash))
    assert refusal(answer) == (401, "X07REG_AUTH_INVALID")


async def test_a_session_that_a_browser_brings_along_is_never_taken_over(browser: Browser) -> None:
    """Against session fixation, signing in creates a new secret, whatever was planted."""
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
        ([f"{good}; {other}"], True),
        ([f"{other}; {good}"], True),
        ([";".join([f"x07_session=x07s_{number}" for number in range(7)] + [good])], True),
        ([";".join([f"x07_session=x07s_{number}" for number in range(8)] + [good])], False),
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


async def test_logging_out_ends_the_session_and_takes_the_cookie_back(
    browser: Browser, github_registry: Registry
) -> None:
    """204 without a body; afterwards the secret is invalid."""
    secret = await signed_in(browser)
    answer = await browser.http.post("/v1/auth/logout", headers=await browser.write_headers())
    assert (answer.status_code, answer.content) == (204, b"")
    assert answer.headers["cache-control"] == "no-store"
    cleared = "x07_session=; Path=/; Max-Age=0; HttpOnly; SameSite=Lax"
    assert answer.headers.get_list("set-cookie") == [cleared, f"{cleared}; Domain=registry.invalid"]
    assert await github_registry.rows("SELECT 1 FROM web_sessions") == []
    assert (await browser.http.get("/v1/auth/session", headers=cookie(secret))).json() == ANONYMOUS
    again = await browser.http.post("/v1/auth/logout", headers={**cookie(secret), "origin": WEB_ORIGIN})
    assert refusal(again) == (401, "X07REG_AUTH_INVALID")


async def test_logging_out_ends_one_session_of_several(
    new_browser: MakeBrowser, github_registry: Registry
) -> None:
    """The person's other sessions stay signed in."""
    here, there = await new_browser(), await new_browser()
    await signed_in(here)
    await signed_in(there)
    await here.http.post("/v1/auth/logout", headers=await here.write_headers())
    assert (await there.session())["authenticated"] is True
    assert len(await github_registry.rows("SELECT 1 FROM web_sessions")) == 1


async def test_logging_out_takes_no_bearer_token(browser: Browser, github_registry: Registry) -> None:
    """A token is not a session, and a bad one does not affect one."""
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
    """Origin present, origin listed, token present, token right; nothing is written before all four."""
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
    """The web UI creates tokens like this; the audit event has no token as its actor."""
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
    """A bad one never falls back to the cookie; two are refused; another scheme counts as none."""
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
    """The account, the token check and publishing require a token."""
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
    """A session in use does not cause a write per request, and does not live longer."""
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
