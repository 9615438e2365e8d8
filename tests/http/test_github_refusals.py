"""Refused sign-ins, row by row of the contract (5.3, 5.4)."""

from __future__ import annotations

from urllib.parse import urlsplit

import httpx
import pytest

from shared.settings import Settings
from tests.browser import CALLBACK, Browser, refusal
from tests.github_server import EMAILS, TOKEN, USER, GithubServer, instead
from tests.stack import Registry, running_registry, serving

INCOMPLETE = [
    ("error=access_denied&error_description=No+thanks&code=c&state=s", "FAILED", "No thanks"),
    ("error=access_denied", "FAILED", "oauth error: access_denied"),
    ("error=", "FAILED", "oauth error: "),
    ("error=x&error_description=", "FAILED", ""),
    ("state=s", "CODE_MISSING", "missing code"),
    ("", "CODE_MISSING", "missing code"),
    ("code=c", "STATE_MISSING", "missing state"),
    ("code=c&state=unknown", "STATE_INVALID", "invalid state; start signing in again"),
    ("code=c&state=%00", "STATE_INVALID", "invalid state; start signing in again"),
    ("code=&state=", "STATE_INVALID", "invalid state; start signing in again"),
]
UNPARSABLE = ["code=a&code=b&state=s", "code=a&state=s&state=s", "code=%ff&state=s", "error=a&error=b"]
LEADING_ELSEWHERE = [
    "tokens",
    "//evil.example",
    "https://evil.example",
    "/x?u=https://evil.example",
    "/\\evil.example",
    "\\/evil.example",
    "/x\r\nset-cookie: x07_session=planted",
    "/\t/evil.example",
    "/x\0",
    "/x\x7f",
    "/x\x9f",
    "javascript:alert(1)",
    "@evil.example",
    "/" + "a" * 2048,
]
NO_HELP = [
    (TOKEN, 200, "", "TOKEN_RESPONSE_INVALID"),
    (TOKEN, 200, "access_token=gho_1", "TOKEN_RESPONSE_INVALID"),
    (TOKEN, 500, "<html>", "TOKEN_RESPONSE_INVALID"),
    (TOKEN, 200, '{"access_token":7}', "TOKEN_RESPONSE_INVALID"),
    (TOKEN, 200, '{"access_token":"a b"}', "TOKEN_RESPONSE_INVALID"),
    (TOKEN, 200, '{"access_token":"gho\\r\\nx: y"}', "TOKEN_RESPONSE_INVALID"),
    (TOKEN, 200, '{"access_token":"gho\\n"}', "TOKEN_RESPONSE_INVALID"),
    (TOKEN, 200, "[]", "TOKEN_RESPONSE_INVALID"),
    (TOKEN, 200, "{}", "TOKEN_EXCHANGE_FAILED"),
    (TOKEN, 404, '{"access_token":null,"error":"e"}', "TOKEN_EXCHANGE_FAILED"),
    (TOKEN, 200, '{"access_token":""}', "TOKEN_EXCHANGE_FAILED"),
    (TOKEN, 200, '{"access_token":"unknown"}', "USER_REQUEST_FAILED"),
    (USER, 503, "{}", "USER_REQUEST_FAILED"),
    (USER, 204, "", "USER_RESPONSE_INVALID"),
    (USER, 200, '{"id":"7","login":"octo"}', "USER_RESPONSE_INVALID"),
    (USER, 200, '{"id":true,"login":"octo"}', "USER_RESPONSE_INVALID"),
    (USER, 200, '{"id":9223372036854775808,"login":"octo"}', "USER_RESPONSE_INVALID"),
    (USER, 200, '{"id":7}', "USER_RESPONSE_INVALID"),
    (USER, 200, '{"id":7,"login":"octo","avatar_url":"a\\u0000b"}', "USER_RESPONSE_INVALID"),
    (EMAILS, 404, "[]", "EMAILS_REQUEST_FAILED"),
    (EMAILS, 200, "{}", "EMAILS_RESPONSE_INVALID"),
    (EMAILS, 200, '[{"email":"a","primary":true}]', "EMAILS_RESPONSE_INVALID"),
    (EMAILS, 200, '[{"email":"a","primary":1,"verified":true}]', "EMAILS_RESPONSE_INVALID"),
]
EXCHANGE_MESSAGES = {
    '{"error":"bad","error_description":"Try again."}': "Try again.",
    '{"error":"bad"}': "bad",
    "{}": "token exchange failed",
}


async def test_without_an_oauth_application_there_is_no_sign_in(fs_registry: Registry) -> None:
    """Row 1 is checked first."""
    for path in ("start", "callback", "callback?error=x", "start?next=bad"):
        answer = await fs_registry.http.get(f"/v1/auth/github/{path}")
        assert refusal(answer) == (400, "X07REG_GITHUB_OAUTH_DISABLED")


async def test_a_callback_without_what_it_needs_is_refused(browser: Browser) -> None:
    """Rows 2 to 5, in their order."""
    for query, code, message in INCOMPLETE:
        answer = await browser.http.get(f"{CALLBACK}?{query}")
        assert refusal(answer) == (400, f"X07REG_GITHUB_OAUTH_{code}"), query
        assert answer.json()["message"] == message


async def test_a_query_that_does_not_parse_is_refused(browser: Browser) -> None:
    """A parameter is given twice, or is not UTF-8."""
    for query in UNPARSABLE:
        assert refusal(await browser.http.get(f"{CALLBACK}?{query}")) == (400, "X07REG_BAD_REQUEST"), query
    answer = await browser.http.get("/v1/auth/github/start?next=/a&next=/b")
    assert refusal(answer) == (400, "X07REG_BAD_REQUEST")


async def test_a_next_that_leads_elsewhere_is_refused_before_anything_is_stored(
    browser: Browser, github_registry: Registry
) -> None:
    """Otherwise the server would allow open redirects and injected headers."""
    for next_url in LEADING_ELSEWHERE:
        assert refusal(await browser.start(next_url)) == (400, "X07REG_AUTH_NEXT_INVALID"), next_url
    assert await github_registry.rows("SELECT 1 FROM oauth_states") == []


async def test_a_stored_next_that_leads_elsewhere_is_refused_and_nothing_is_written(
    browser: Browser, github_registry: Registry
) -> None:
    """Row 17: the older server may have stored it."""
    back = await browser.way_back("octo")
    await github_registry.rows("UPDATE oauth_states SET next_url = '/\\evil.example' RETURNING 1")
    assert refusal(await browser.http.get(back)) == (400, "X07REG_AUTH_NEXT_INVALID")
    assert await github_registry.rows("SELECT 1 FROM web_sessions") == []
    assert await github_registry.rows("SELECT 1 FROM users") == []


async def test_an_expired_state_is_refused_and_removed(browser: Browser, github_registry: Registry) -> None:
    """Row 6: the user took too long at GitHub."""
    back = await browser.way_back("octo")
    await github_registry.rows("UPDATE oauth_states SET expires_at = now() RETURNING 1")
    assert refusal(await browser.http.get(back)) == (400, "X07REG_GITHUB_OAUTH_STATE_EXPIRED")
    assert await github_registry.rows("SELECT 1 FROM oauth_states") == []
    assert refusal(await browser.http.get(back)) == (400, "X07REG_GITHUB_OAUTH_STATE_INVALID")


async def test_an_answer_of_github_that_does_not_help_is_named(
    browser: Browser, github: GithubServer, github_registry: Registry
) -> None:
    """Rows 9 to 14: nothing is written, and the message has no text of a parser or driver."""
    for path, status, body, code in NO_HELP:
        github.answers = {path: instead(status, body)}
        answer = await browser.sign_in("octo")
        assert refusal(answer) == (502, f"X07REG_GITHUB_OAUTH_{code}"), (path, body)
        assert len(answer.json()["message"]) < 60
    assert await github_registry.rows("SELECT 1 FROM users") == []


async def test_a_refused_exchange_says_what_github_said(browser: Browser, github: GithubServer) -> None:
    """Row 10: the message is GitHub's description, else its error, else our own text."""
    for body, message in EXCHANGE_MESSAGES.items():
        github.answers = {TOKEN: instead(200, body)}
        assert (await browser.sign_in("octo")).json()["message"] == message


@pytest.mark.parametrize(
    ("setting", "code"),
    [
        ("github_authorize_base", "X07REG_GITHUB_OAUTH_TOKEN_REQUEST_FAILED"),
        ("github_api_base", "X07REG_GITHUB_OAUTH_USER_REQUEST_FAILED"),
    ],
)
async def test_a_github_out_of_reach_is_502(
    setting: str, code: str, github: GithubServer, github_settings: Settings
) -> None:
    """Rows 8 and 11: nothing listens at its address any more."""
    async with serving(github.app) as gone:
        pass
    settings = github_settings.model_copy(update={setting: gone})
    async with (
        running_registry(settings, with_worker=False) as registry,
        httpx.AsyncClient(base_url=registry.url) as client,
    ):
        browser = Browser(client, github.url)
        authorize = urlsplit((await browser.start()).headers["location"])
        back = await browser.approve(f"{github.url}{authorize.path}?{authorize.query}", "octo")
        assert refusal(await client.get(back)) == (502, code)


async def test_a_person_who_says_no_at_github_is_told_so(browser: Browser) -> None:
    """Row 2, with GitHub's real answer."""
    answer = await browser.sign_in("")
    assert refusal(answer) == (400, "X07REG_GITHUB_OAUTH_FAILED")
    assert answer.json()["message"] == "The user denied access"


async def test_a_login_that_cannot_be_a_handle_is_refused(
    browser: Browser, github: GithubServer, github_registry: Registry
) -> None:
    """Row 15."""
    person = github.add("someone", 9)
    for login in ("o.cto", "öcto", "", "octo[bot]"):
        person.login = login
        assert refusal(await browser.sign_in("someone")) == (400, "X07REG_INVALID_NAME"), login
    assert await github_registry.rows("SELECT 1 FROM users") == []
