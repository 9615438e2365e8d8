"""Which account a GitHub user gets: found, attached, made or refused (contract, 5.4: account resolution)."""

from __future__ import annotations

import asyncio
from typing import Any

from tests.archives import hello_archive
from tests.browser import Browser, refusal
from tests.github_server import GithubServer, email
from tests.http.conftest import MakeBrowser
from tests.stack import Registry, bearer

TAKEN = (409, "X07REG_GITHUB_HANDLE_TAKEN")


async def add_user(registry: Registry, handle: str, via: str, github_id: int | None = None) -> Any:
    """A user as some earlier time left it; its id."""
    (row,) = await registry.rows(
        "INSERT INTO users (handle, created_via, github_user_id) VALUES (:handle, :via, :github_id)"
        " RETURNING id",
        handle=handle,
        via=via,
        github_id=github_id,
    )
    return row.id


async def handles(registry: Registry) -> list[str]:
    """Every handle, sorted."""
    return [row.handle for row in await registry.rows("SELECT handle FROM users ORDER BY 1")]


async def test_a_login_becomes_a_handle_in_lower_case(browser: Browser, github: GithubServer) -> None:
    """Handles are lower-case; the profile keeps GitHub's spelling."""
    github.add("Octo-Cat_1", 7)
    await browser.sign_in("Octo-Cat_1")
    user = (await browser.session())["user"]
    assert (user["handle"], user["github_login"]) == ("octo-cat_1", "Octo-Cat_1")


async def test_signing_in_again_is_the_same_account_with_a_fresh_profile(
    browser: Browser, github: GithubServer, github_registry: Registry
) -> None:
    """Sessions that exist stay valid."""
    await browser.sign_in("octo")
    first = dict(browser.http.cookies)
    github.people["octo"].emails = [email("new@m")]
    await browser.sign_in("octo")
    assert (await browser.session())["user"]["email"] == "new@m"
    assert await handles(github_registry) == ["octo"]
    assert first["x07_session"] != browser.http.cookies["x07_session"]
    old = await github_registry.http.get(
        "/v1/auth/session", headers={"cookie": f"x07_session={first['x07_session']}"}
    )
    assert old.json()["authenticated"] is True


async def test_a_bootstrap_user_is_attached_with_tokens_and_packages(
    browser: Browser, github_registry: Registry
) -> None:
    """A deployment names its first publishers by hand; signing in with that login makes them theirs."""
    user_id = await add_user(github_registry, "octo", "bootstrap")
    token = await github_registry.add_token(user_id, "publish")
    assert (await browser.sign_in("octo")).status_code == 302
    assert (await browser.session())["user"]["id"] == str(user_id)
    (row,) = await github_registry.rows("SELECT created_via, github_user_id FROM users")
    assert tuple(row) == ("github", 583231)
    account = await github_registry.http.get("/v1/account", headers=bearer(token))
    assert account.json()["handle"] == "octo"


async def test_a_detached_github_user_without_history_is_attached(
    browser: Browser, github_registry: Registry
) -> None:
    """Neither token nor version: there is nothing to take over."""
    user_id = await add_user(github_registry, "octo", "github")
    await browser.sign_in("octo")
    assert (await browser.session())["user"]["id"] == str(user_id)


async def test_a_detached_github_user_with_a_token_is_not_attached(
    browser: Browser, github_registry: Registry
) -> None:
    """A revoked one counts too; nothing of the user changes."""
    user_id = await add_user(github_registry, "octo", "github")
    await github_registry.revoke(await github_registry.add_token(user_id, "publish"))
    assert refusal(await browser.sign_in("octo")) == TAKEN
    (row,) = await github_registry.rows("SELECT github_user_id, github_login FROM users")
    assert tuple(row) == (None, None)


async def test_a_detached_github_user_with_a_published_version_is_not_attached(
    browser: Browser, github_registry: Registry
) -> None:
    """Its token rows are gone, what it published is not."""
    headers = await github_registry.add_publisher("octo")
    assert (await github_registry.publish(hello_archive(), headers)).status_code == 200
    await github_registry.rows("UPDATE audit_events SET actor_token_id = NULL RETURNING 1")
    await github_registry.rows("DELETE FROM tokens RETURNING 1")
    await github_registry.rows("UPDATE users SET created_via = 'github' RETURNING 1")
    assert refusal(await browser.sign_in("octo")) == TAKEN


async def test_a_handle_of_another_github_account_is_taken(
    browser: Browser, github_registry: Registry
) -> None:
    """Squatting: whoever gets a login that somebody gave up gets nothing of theirs."""
    await add_user(github_registry, "octo", "github", github_id=99)
    assert refusal(await browser.sign_in("octo")) == TAKEN
    assert await github_registry.rows("SELECT 1 FROM web_sessions") == []


async def test_a_bootstrap_user_with_a_github_account_is_not_attached_to_another(
    browser: Browser, github_registry: Registry
) -> None:
    """Privilege growth: attaching happens once."""
    await add_user(github_registry, "octo", "bootstrap", github_id=99)
    assert refusal(await browser.sign_in("octo")) == TAKEN


async def test_a_handle_follows_the_login(
    browser: Browser, github: GithubServer, github_registry: Registry
) -> None:
    """The same account under its new name."""
    await browser.sign_in("octo")
    github.rename("octo", "Cthulhu")
    await browser.sign_in("Cthulhu")
    assert await handles(github_registry) == ["cthulhu"]


async def test_a_new_login_that_is_taken_leaves_the_handle_as_it_was(
    browser: Browser, github: GithubServer, github_registry: Registry
) -> None:
    """The collision spoils neither the sign-in nor the rest of its transaction."""
    await browser.sign_in("octo")
    await add_user(github_registry, "cthulhu", "bootstrap")
    github.rename("octo", "cthulhu")
    assert (await browser.sign_in("cthulhu")).status_code == 302
    user = (await browser.session())["user"]
    assert (user["handle"], user["github_login"]) == ("octo", "cthulhu")
    assert await handles(github_registry) == ["cthulhu", "octo"]


async def test_first_sign_ins_at_once_are_one_account(
    new_browser: MakeBrowser, github_registry: Registry
) -> None:
    """Nobody is told that the handle is taken by themselves."""
    browsers = [await new_browser() for _ in range(5)]
    backs = [await browser.way_back("octo") for browser in browsers]
    answers = await asyncio.gather(
        *(browser.http.get(back) for browser, back in zip(browsers, backs, strict=True))
    )
    assert [answer.status_code for answer in answers] == [302] * 5
    assert await handles(github_registry) == ["octo"]
    assert len(await github_registry.rows("SELECT 1 FROM web_sessions")) == 5


async def test_sign_ins_at_once_attach_a_bootstrap_user_once(
    new_browser: MakeBrowser, github: GithubServer, github_registry: Registry
) -> None:
    """Of two GitHub users with one login, as after a rename, the first gets the account."""
    await add_user(github_registry, "octo", "bootstrap")
    github.add("OCTO", 7)
    ways = [(await new_browser(), login) for login in ("octo", "OCTO", "octo", "OCTO")]
    backs = [await browser.way_back(login) for browser, login in ways]
    answers = await asyncio.gather(
        *(browser.http.get(back) for (browser, _), back in zip(ways, backs, strict=True))
    )
    assert sorted(answer.status_code for answer in answers) == [302, 302, 409, 409]
    assert await handles(github_registry) == ["octo"]


async def test_taking_and_giving_up_the_official_handle_is_seen_by_readers(
    browser: Browser, github: GithubServer, github_registry: Registry
) -> None:
    """`is_official` stands in published files: their generations rise, and no others'."""
    await browser.sign_in("octo")
    (octo,) = await github_registry.rows("SELECT id FROM users")
    token = await github_registry.add_token(octo.id, "publish")
    others = await github_registry.add_publisher("alice")
    await github_registry.publish(hello_archive(), bearer(token))
    await github_registry.publish(hello_archive(name="other"), others)

    async def generations() -> dict[str, int]:
        rows = await github_registry.rows(
            "SELECT name, generation FROM index_state JOIN packages ON packages.id = package_id"
        )
        return dict(tuple(row) for row in rows)

    before = await generations()
    github.rename("octo", "plain")
    await browser.sign_in("plain")
    assert await generations() == before
    github.rename("plain", "webodik")
    await browser.sign_in("webodik")
    assert await generations() == {**before, "hello": before["hello"] + 1}
    github.rename("webodik", "octo")
    await browser.sign_in("octo")
    assert await generations() == {**before, "hello": before["hello"] + 2}
