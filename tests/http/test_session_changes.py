"""Changes that a signed-in person may make with only the cookie and the CSRF token."""

from __future__ import annotations

import httpx

from tests.archives import hello_archive
from tests.audit import Event, events
from tests.browser import Browser
from tests.github_server import GithubServer
from tests.http.conftest import MakeBrowser
from tests.stack import Registry, bearer

HELLO = "/v1/packages/hello"
ADVISORY = {"kind": "broken", "severity": "high", "summary": "Does not start."}


async def publisher(browser: Browser, registry: Registry) -> dict[str, str]:
    """Sign in, create a token and publish `hello` with it. Returns headers for the page's next writes."""
    assert (await browser.sign_in("octo")).status_code == 302
    headers = await browser.write_headers()
    made = await browser.http.post("/v1/tokens", json={"label": "ci"}, headers=headers)
    assert made.status_code == 200, made.text
    answer = await registry.publish(hello_archive(), bearer(made.json()["token"]))
    assert answer.status_code == 200, answer.text
    return headers


async def test_a_session_makes_every_change_and_is_recorded_without_a_token(
    browser: Browser, github_registry: Registry
) -> None:
    """Tokens, owners (including removal), yanks and advisories are each audited without a token id."""
    headers = await publisher(browser, github_registry)
    await github_registry.add_user("bob")
    (token,) = (await browser.http.get("/v1/tokens")).json()["tokens"]

    async def post(path: str, json: object = None) -> httpx.Response:
        answer = await browser.http.post(path, json=json, headers=headers)
        assert answer.status_code == 200, answer.text
        return answer

    await post(f"{HELLO}/owners", {"handle": "bob"})
    removed = await browser.http.delete(f"{HELLO}/owners/bob", headers=headers)
    assert removed.status_code == 200, removed.text
    await post(f"{HELLO}/0.1.0/yank", {"yanked": True})
    advisory = (await post(f"{HELLO}/0.1.0/advisories", ADVISORY)).json()["advisory"]
    await post(f"{HELLO}/0.1.0/advisories/{advisory['id']}/withdraw")
    await post(f"/v1/tokens/{token['id']}/revoke")

    recorded = await events(github_registry)
    assert [event.action for event in recorded] == [
        "token_created",
        "owner_added",
        "owner_removed",
        "yank",
        "advisory_created",
        "advisory_withdrawn",
        "token_revoked",
    ]
    assert {(event.actor, event.has_token) for event in recorded} == {("octo", False)}
    assert recorded[3] == Event("octo", "yank", "hello", "0.1.0", {}, has_token=False)


async def test_a_session_without_its_csrf_token_changes_nothing(
    browser: Browser, github_registry: Registry
) -> None:
    """Another site can make the browser send the cookie, but not the header."""
    headers = await publisher(browser, github_registry)
    del headers["x-x07-csrf"]
    before = await events(github_registry)
    for method, path, body in (
        ("POST", "/v1/tokens", {"label": "evil"}),
        ("POST", f"{HELLO}/owners", {"handle": "octo"}),
        ("DELETE", f"{HELLO}/owners/octo", None),
        ("POST", f"{HELLO}/0.1.0/yank", {"yanked": True}),
        ("POST", f"{HELLO}/0.1.0/advisories", ADVISORY),
    ):
        answer = await browser.http.request(method, path, json=body, headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (403, "X07REG_CSRF_REQUIRED"), path
    assert await events(github_registry) == before


async def test_a_session_of_no_admin_grants_no_admin_token(browser: Browser) -> None:
    """Nobody gains rights by creating tokens."""
    assert (await browser.sign_in("octo")).status_code == 302
    headers = await browser.write_headers()
    answer = await browser.http.post("/v1/tokens", json={"scopes": ["publish", "admin"]}, headers=headers)
    assert (answer.status_code, answer.json()["message"]) == (403, "cannot grant scope: admin")
    assert (await browser.http.get("/v1/tokens")).json()["tokens"] == []


async def test_sessions_see_and_revoke_only_their_own_tokens(
    browser: Browser, new_browser: MakeBrowser, github: GithubServer, github_registry: Registry
) -> None:
    """Somebody else's token appears not to exist."""
    await publisher(browser, github_registry)
    (token,) = (await browser.http.get("/v1/tokens")).json()["tokens"]
    github.add("eve", 7)
    eve = await new_browser()
    assert (await eve.sign_in("eve")).status_code == 302
    answer = await eve.http.post(f"/v1/tokens/{token['id']}/revoke", headers=await eve.write_headers())
    assert (answer.status_code, answer.json()["code"]) == (404, "X07REG_NOT_FOUND")
    assert (await eve.http.get("/v1/tokens")).json()["tokens"] == []


async def test_scale_evidence_takes_no_session(browser: Browser, github_registry: Registry) -> None:
    """The contract allows it for tokens only."""
    headers = await publisher(browser, github_registry)
    path = "/v1/packs/hello/versions/0.1.0/scale-evidence"
    answer = await browser.http.post(path, json={"evidence_ref": "https://x07.io/e"}, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (401, "X07REG_AUTH_REQUIRED")
