"""Every declared route refuses the callers that its declaration does not admit (contract, 1.6).

No route is named here, so new routes are tested automatically.
"""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from api.write.endpoint import Auth, Endpoint, Scope
from api.write.principal import IMPLIED_BY
from api.write.routes import ALL_ENDPOINTS
from tests.browser import WEB_ORIGIN, Browser
from tests.http.declared import body_of, path_of
from tests.stack import Registry, bearer

Headers = dict[str, str]
MISSING = {
    Auth.TOKEN: "missing Authorization header",
    Auth.SESSION: "missing x07_session cookie",
    Auth.EITHER: "missing credential; send Authorization: Bearer and a token, or the x07_session cookie",
}


def endpoints(*kinds: Auth) -> Iterator[Endpoint]:
    """Endpoints that accept these credentials."""
    found = [endpoint for endpoint in ALL_ENDPOINTS if endpoint.auth in kinds]
    assert found
    yield from found


async def call(http: httpx.AsyncClient, endpoint: Endpoint, headers: Headers) -> httpx.Response:
    """Send a request without the right credential; its body is valid wherever one is read."""
    return await http.request(endpoint.method, path_of(endpoint), headers=headers, **body_of(endpoint))


async def refuses(
    http: httpx.AsyncClient, endpoint: Endpoint, headers: Headers, status: int, code: str, message: str
) -> None:
    """Require this error, as an error body and without cookies."""
    answer = await call(http, endpoint, headers)
    where = f"{endpoint.method} {endpoint.path}"
    assert (answer.status_code, answer.json()["code"]) == (status, f"X07REG_{code}"), where
    assert answer.json()["message"] == message, where
    assert list(answer.json()) == ["code", "message", "request_id"], where
    assert "set-cookie" not in answer.headers, where


async def signed_in_tables(registry: Registry) -> list[int]:
    """The numbers of rows that a change would alter."""
    tables = ("tokens", "web_sessions", "packages", "package_owners", "audit_events", "oauth_states")
    return [len(await registry.rows(f"SELECT 1 FROM {table}")) for table in tables]  # noqa: S608


async def test_every_route_that_needs_a_credential_refuses_who_has_none(github_registry: Registry) -> None:
    """No header, an empty bearer, another scheme, an empty cookie: one code; the message tells them apart."""
    before = await signed_in_tables(github_registry)
    nobody: list[tuple[Headers, str | None]] = [
        ({}, None),
        ({"authorization": "Bearer"}, "the Authorization header has no token after Bearer"),
        ({"authorization": "bearer x07t_lower"}, 'the scheme is spelled "Bearer", not "bearer"'),
        (
            {"authorization": "Basic YTpi"},
            "Basic is not taken here; send Authorization: Bearer and a token",
        ),
        ({"cookie": "x07_session="}, None),
        ({"cookie": "other=x07s_1"}, None),
    ]
    for endpoint in endpoints(Auth.TOKEN, Auth.SESSION, Auth.EITHER):
        takes_token = endpoint.auth is not Auth.SESSION
        missing = MISSING[endpoint.auth]
        for headers, sent in nobody:
            message = sent if sent is not None and takes_token else missing
            await refuses(github_registry.http, endpoint, headers, 401, "AUTH_REQUIRED", message)
    assert await signed_in_tables(github_registry) == before


async def test_every_route_that_takes_a_token_refuses_a_wrong_one(
    github_registry: Registry, browser: Browser
) -> None:
    """Unknown, revoked, or two of them; a valid session never compensates for it."""
    assert (await browser.sign_in("octo")).status_code == 302
    session = await browser.write_headers()
    user_id = await github_registry.add_user("alice")
    revoked = await github_registry.add_token(user_id, *Scope, secret="x07t_revoked")
    await github_registry.revoke(revoked)
    before = await signed_in_tables(github_registry)
    for endpoint in endpoints(Auth.TOKEN, Auth.EITHER):
        for http, more in ((github_registry.http, {}), (browser.http, session)):
            unknown = {**bearer("x07t_unknown"), **more}
            await refuses(http, endpoint, unknown, 401, "AUTH_INVALID", "invalid token")
            shown = {**bearer(revoked), **more}
            await refuses(http, endpoint, shown, 401, "AUTH_INVALID", "token revoked")
    assert await signed_in_tables(github_registry) == before


async def test_every_route_with_a_scope_refuses_a_token_that_lacks_it(github_registry: Registry) -> None:
    """No other scope, not even `admin`, compensates for it, except that `owner.manage` includes yanks."""
    user_id = await github_registry.add_user("alice")
    tokens = {}
    for scope in Scope:
        enough = {scope, Scope.OWNER_MANAGE} if scope is Scope.YANK else {scope}
        others = (other for other in Scope if other not in enough)
        tokens[scope] = await github_registry.add_token(user_id, *others)
    before = await signed_in_tables(github_registry)
    for endpoint in endpoints(Auth.TOKEN, Auth.EITHER):
        if endpoint.scope is not None:
            headers = bearer(tokens[endpoint.scope])
            message = f"missing scope: {IMPLIED_BY.get(endpoint.scope, endpoint.scope)}"
            await refuses(github_registry.http, endpoint, headers, 403, "FORBIDDEN", message)
    assert await signed_in_tables(github_registry) == before


async def test_every_route_that_takes_a_session_refuses_a_wrong_one(
    github_registry: Registry, browser: Browser
) -> None:
    """An unknown one, two unknown ones, and an expired one, which is deleted when it is first used."""
    assert (await browser.sign_in("octo")).status_code == 302
    headers = await browser.write_headers()
    http = github_registry.http
    for endpoint in endpoints(Auth.SESSION, Auth.EITHER):
        unknown = {**headers, "cookie": "x07_session=x07s_unknown"}
        await refuses(http, endpoint, unknown, 401, "AUTH_INVALID", "invalid session")
        two = {**headers, "cookie": "x07_session=x07s_unknown; x07_session=x07s_planted"}
        await refuses(http, endpoint, two, 401, "AUTH_INVALID", "invalid session")
    sql = "UPDATE web_sessions SET expires_at = now() RETURNING 1"
    for endpoint in endpoints(Auth.SESSION, Auth.EITHER):
        browser.http.cookies.clear()
        assert (await browser.sign_in("octo")).status_code == 302
        await github_registry.rows(sql)
        await refuses(browser.http, endpoint, headers, 401, "AUTH_EXPIRED", "session expired")
        await refuses(browser.http, endpoint, headers, 401, "AUTH_INVALID", "invalid session")


@pytest.mark.parametrize(
    ("headers", "code", "message"),
    [
        ({"x-x07-csrf": "own"}, "CSRF_ORIGIN_REQUIRED", "missing Origin header"),
        (
            {"origin": "https://evil.example", "x-x07-csrf": "own"},
            "CSRF_ORIGIN_FORBIDDEN",
            "origin not allowed",
        ),
        ({"origin": WEB_ORIGIN}, "CSRF_REQUIRED", "missing x-x07-csrf header"),
        ({"origin": WEB_ORIGIN, "x-x07-csrf": "x07c_wrong"}, "CSRF_INVALID", "invalid CSRF token"),
    ],
)
async def test_every_route_that_changes_something_by_cookie_asks_for_origin_and_csrf_token(
    github_registry: Registry, browser: Browser, headers: Headers, code: str, message: str
) -> None:
    """Any site's requests carry the cookie; only our page can send the other two."""
    assert (await browser.sign_in("octo")).status_code == 302
    own = (await browser.session())["csrf_token"]
    shown = {name: own if value == "own" else value for name, value in headers.items()}
    before = await signed_in_tables(github_registry)
    for endpoint in endpoints(Auth.SESSION, Auth.EITHER):
        if endpoint.method != "GET":
            await refuses(browser.http, endpoint, shown, 403, code, message)
    assert await signed_in_tables(github_registry) == before


async def test_a_credential_of_the_other_kind_counts_as_none(
    github_registry: Registry, browser: Browser
) -> None:
    """A session where a token is required, and a token where a session is required."""
    assert (await browser.sign_in("octo")).status_code == 302
    session = await browser.write_headers()
    user_id = await github_registry.add_user("alice")
    token = bearer(await github_registry.add_token(user_id, *Scope))
    for endpoint in endpoints(Auth.TOKEN):
        message = "missing Authorization header"
        await refuses(browser.http, endpoint, session, 401, "AUTH_REQUIRED", message)
    for endpoint in endpoints(Auth.SESSION):
        message = "missing x07_session cookie"
        await refuses(github_registry.http, endpoint, token, 401, "AUTH_REQUIRED", message)


async def test_no_public_route_looks_at_a_credential(github_registry: Registry) -> None:
    """The command line sends its token with every request; a revoked one must not break reads."""
    for endpoint in endpoints(Auth.NONE):
        plain = await call(github_registry.http, endpoint, {})
        for headers in (bearer("x07t_revoked"), {"cookie": "x07_session=x07s_unknown"}):
            shown = await call(github_registry.http, endpoint, headers)
            assert shown.status_code == plain.status_code, endpoint.path
            assert shown.status_code not in (401, 403), endpoint.path


async def test_every_route_answers_other_methods_with_the_ones_it_has(github_registry: Registry) -> None:
    """405 with `allow`, before authentication."""
    by_path = {endpoint.path: endpoint for endpoint in ALL_ENDPOINTS}
    for path, endpoint in by_path.items():
        methods = {other.method for other in ALL_ENDPOINTS if other.path == path}
        if "GET" in methods:
            methods.add("HEAD")
        allow = ",".join(method for method in ("GET", "HEAD", "POST", "PATCH", "DELETE") if method in methods)
        for method in {"GET", "HEAD", "POST", "DELETE", "PUT", "PATCH"} - methods:
            answer = await github_registry.http.request(method, path_of(endpoint))
            assert (answer.status_code, answer.headers.get("allow")) == (405, allow), f"{method} {path}"


async def test_every_get_route_answers_head_with_the_same_headers(github_registry: Registry) -> None:
    """As in RFC 9110, 9.3.2, only the body is missing; even its length is sent."""
    user_id = await github_registry.add_user("alice")
    token = bearer(await github_registry.add_token(user_id, *Scope))
    varying = {"x-request-id", "date", "set-cookie", "location"}
    for endpoint in ALL_ENDPOINTS:
        if endpoint.method != "GET":
            continue
        get = await call(github_registry.http, endpoint, token)
        head = await github_registry.http.head(path_of(endpoint), headers=token)
        # The latency of its dependencies, and so the length of that text, differs each time.
        told = varying | ({"content-length"} if endpoint.path == "/readyz" else set())
        headers = [
            {name: text for name, text in answer.headers.items() if name not in told}
            for answer in (get, head)
        ]
        assert headers[0] == headers[1], endpoint.path
        assert (head.status_code, head.content) == (get.status_code, b""), endpoint.path
