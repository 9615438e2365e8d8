"""Rules of docs/security.md that no other test proves.

They concern attempts swapped between browsers, look-up and comparison of secrets, the rights of an attached
account, and what a stranger can find out.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import pytest
from sqlalchemy import event
from sqlalchemy.engine import Engine

from tests.archives import hello_archive
from tests.browser import CALLBACK, WEB_ORIGIN, Browser, query_of, refusal
from tests.github_server import GithubServer
from tests.http.conftest import MakeBrowser
from tests.stack import Registry, bearer

WRITE_API = Path(__file__).parents[2] / "api" / "write"
SECRETS = {"csrf_token", "shown", "secret", "token", "browser", "browser_hash", "token_hash", "client_secret"}


async def test_an_attempt_ends_only_in_the_browser_that_began_it(
    new_browser: MakeBrowser, github_registry: Registry, github: GithubServer
) -> None:
    """Login CSRF: a callback that an attacker approved signs in nobody else, and is used up."""
    github.add("mallory", 666)
    attacker, victim, stranger = await new_browser(), await new_browser(), await new_browser()
    await victim.start()
    back = await attacker.way_back("mallory")
    assert refusal(await victim.http.get(back)) == (400, "X07REG_GITHUB_OAUTH_STATE_INVALID")
    assert refusal(await attacker.http.get(back)) == (400, "X07REG_GITHUB_OAUTH_STATE_INVALID")
    back = await attacker.way_back("mallory")
    assert refusal(await stranger.http.get(back)) == (400, "X07REG_GITHUB_OAUTH_STATE_INVALID")
    assert (await victim.session())["authenticated"] is False
    assert await github_registry.rows("SELECT 1 FROM web_sessions") == []


async def test_states_swapped_between_two_attempts_sign_nobody_in(
    new_browser: MakeBrowser, github_registry: Registry
) -> None:
    """Neither the browser nor the verifier fits the other attempt's code."""
    one, two = await new_browser(), await new_browser()
    first, second = query_of(await one.way_back("octo")), query_of(await two.way_back("octo"))
    for browser, code, state in ((one, first, second), (two, second, first)):
        answer = await browser.http.get(CALLBACK, params={"code": code["code"], "state": state["state"]})
        assert refusal(answer)[0] in (400, 502)
    assert await github_registry.rows("SELECT 1 FROM web_sessions") == []


@contextmanager
def sql_values() -> Iterator[list[Any]]:
    """Every value that is sent to a database in the block."""
    values: list[Any] = []

    def note(_c: Any, _cursor: Any, _statement: Any, parameters: Any, _context: Any, _many: bool) -> None:
        values.append(parameters)

    fetch = asyncpg.Connection.fetch

    async def noted(connection: Any, statement: str, *parameters: Any) -> Any:
        values.append(parameters)
        return await fetch(connection, statement, *parameters)

    event.listen(Engine, "before_cursor_execute", note)
    asyncpg.Connection.fetch = noted
    try:
        yield values
    finally:
        asyncpg.Connection.fetch = fetch
        event.remove(Engine, "before_cursor_execute", note)


async def test_tokens_and_sessions_are_looked_up_by_their_hash_alone(
    browser: Browser, github_registry: Registry
) -> None:
    """The timing of an index look-up depends on the hash, which nobody can control."""
    token = await github_registry.add_token(await github_registry.add_user("alice"), "token.manage")
    await browser.sign_in("octo")
    session = browser.http.cookies["x07_session"]
    with sql_values() as values:
        for shown in (token, token[:-1], "x07t_" + "0" * 64):
            await github_registry.http.get("/v1/tokens", headers=bearer(shown))
        for shown in (session, session[:-1]):
            await github_registry.http.get("/v1/tokens", headers={"cookie": f"x07_session={shown}"})
    sent = repr(values)
    assert len(values) >= 4
    assert token[:-1] not in sent
    assert session[:-1] not in sent


def test_no_secret_is_compared_with_an_operator() -> None:
    """`==` returns at the first different byte; `hmac.compare_digest` does not."""
    compared = []
    for path in WRITE_API.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Compare) and any(isinstance(op, (ast.Eq, ast.NotEq)) for op in node.ops):
                sides = [ast.unparse(side).split(".")[-1] for side in (node.left, *node.comparators)]
                compared += [(path.name, ast.unparse(node)) for side in sides if side in SECRETS]
    assert [found for found in compared if ".c." not in found[1]] == []
    for name in ("csrf.py", "sign_in.py"):
        assert "hmac.compare_digest(" in (WRITE_API / name).read_text()


async def test_an_attached_account_gains_no_admin(browser: Browser, github_registry: Registry) -> None:
    """An operator may give a person's account an admin token, but the session stays an ordinary one."""
    user_id = await github_registry.add_user("octo")
    await browser.sign_in("octo")
    await github_registry.add_token(user_id, "admin", "token.manage")
    session = await browser.session()
    assert (session["user"]["handle"], session["user"]["is_admin"]) == ("octo", False)
    headers = {"origin": WEB_ORIGIN, "x-x07-csrf": session["csrf_token"]}
    answer = await browser.http.post("/v1/tokens", json={"scopes": ["admin"]}, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (403, "X07REG_FORBIDDEN")


async def test_a_stranger_learns_of_no_account_by_asking(fs_registry: Registry) -> None:
    """Strangers get the same answer for every handle, and for a wrong token the same as for none."""
    alice = await fs_registry.add_publisher("alice", "publish")
    await fs_registry.publish(hello_archive(), alice)
    mallory = await fs_registry.add_publisher("mallory", "owner.manage")
    path = "/v1/packages/hello/owners"

    async def told(answer: httpx.Response) -> tuple[int, str, str]:
        body = answer.json()
        return answer.status_code, body["code"], body["message"]

    added = {
        await told(await fs_registry.http.post(path, json={"handle": handle}, headers=mallory))
        for handle in ("alice", "mallory", "nobody")
    }
    removed = {
        await told(await fs_registry.http.delete(f"{path}/{handle}", headers=mallory))
        for handle in ("alice", "nobody")
    }
    assert added == removed == {(403, "X07REG_FORBIDDEN", "not a package owner")}
    wrong = {
        await told(await fs_registry.http.get("/v1/account", headers=bearer(token)))
        for token in ("x07t_" + "0" * 64, "short", alice["authorization"][7:-1])
    }
    assert wrong == {(401, "X07REG_AUTH_INVALID", "invalid token")}


@pytest.mark.parametrize("storage_settings", ["fs"], indirect=True)
async def test_origins_that_only_look_listed_get_no_credentials(cors_registry: Registry) -> None:
    """A prefix, a suffix, another scheme, another port, or `null` gets none, on errors and preflights too."""
    lookalikes = (
        "https://web.example.evil.example",
        "https://evil-web.example",
        "http://web.example",
        "https://web.example:8443",
        "https://WEB.example",
        "https://web.example/",
        "null",
    )
    for origin in lookalikes:
        for method, path in (("GET", "/v1/auth/session"), ("GET", "/v1/tokens"), ("OPTIONS", "/v1/tokens")):
            answer = await cors_registry.http.request(method, path, headers={"origin": origin})
            assert "access-control-allow-origin" not in answer.headers, (origin, method)
    listed = await cors_registry.http.get("/v1/tokens", headers={"origin": "https://web.example"})
    assert listed.headers["access-control-allow-origin"] == "https://web.example"
