"""The account that a GitHub user gets: found, attached, created or refused (contract, 5.4)."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.archives import hello_archive
from tests.browser import Browser, refusal
from tests.github_server import GithubServer, email
from tests.http.conftest import MakeBrowser
from tests.stack import Registry, bearer

TAKEN = (409, "X07REG_GITHUB_HANDLE_TAKEN")


async def add_user(registry: Registry, handle: str, via: str, github_id: int | None = None) -> Any:
    """Insert a user in an earlier state. Returns its id."""
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
    """The login is lower-case in the row and in the session's answer, as on the older server."""
    github.add(" Octo-Cat_1 ", 7)
    await browser.sign_in(" Octo-Cat_1 ")
    user = (await browser.session())["user"]
    assert (user["handle"], user["github_login"]) == ("octo-cat_1", "octo-cat_1")


async def test_a_login_that_was_stored_as_github_spells_it_is_told_in_lower_case(
    browser: Browser, github_registry: Registry
) -> None:
    """Such sessions began before logins were lower-cased."""
    await browser.sign_in("octo")
    await github_registry.rows("UPDATE users SET github_login = ' Octo' RETURNING 1")
    assert (await browser.session())["user"]["github_login"] == "octo"


async def test_signing_in_again_is_the_same_account_with_a_fresh_profile(
    browser: Browser, github: GithubServer, github_registry: Registry
) -> None:
    """Existing sessions stay valid."""
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
    """A deployment creates its first publishers by hand; their login gives them the account."""
    user_id = await add_user(github_registry, "octo", "bootstrap")
    token = await github_registry.add_token(user_id, "publish")
    assert (await browser.sign_in("octo")).status_code == 302
    assert (await browser.session())["user"]["id"] == str(user_id)
    (row,) = await github_registry.rows("SELECT created_via, github_user_id FROM users")
    assert tuple(row) == ("github", 583231)
    account = await github_registry.http.get("/v1/account", headers=bearer(token))
    assert account.json()["handle"] == "octo"


@pytest.mark.parametrize("handle", ["admin", "octo"])
async def test_a_bootstrap_user_that_holds_an_admin_token_is_not_attached(
    handle: str, browser: Browser, github: GithubServer, github_registry: Registry
) -> None:
    """Otherwise the GitHub user `admin` would get the account that `up` created, with its packages."""
    github.add(handle, 666)
    user_id = await add_user(github_registry, handle, "bootstrap")
    token = await github_registry.add_token(user_id, "admin", "publish")
    published = await github_registry.publish(hello_archive(), bearer(token))
    assert published.status_code == 200, published.text
    assert refusal(await browser.sign_in(handle)) == TAKEN
    (row,) = await github_registry.rows("SELECT created_via, github_user_id FROM users")
    assert tuple(row) == ("bootstrap", None)
    assert await github_registry.rows("SELECT 1 FROM web_sessions") == []


async def test_a_bootstrap_user_whose_admin_tokens_are_revoked_is_attached(
    browser: Browser, github_registry: Registry
) -> None:
    """An operator hands such an account over like this."""
    user_id = await add_user(github_registry, "octo", "bootstrap")
    await github_registry.add_token(user_id, "publish")
    await github_registry.revoke(await github_registry.add_token(user_id, "admin"))
    assert (await browser.sign_in("octo")).status_code == 302
    assert (await browser.session())["user"]["id"] == str(user_id)


async def test_a_detached_github_user_without_history_is_attached(
    browser: Browser, github_registry: Registry
) -> None:
    """It has no token and no version, so there is nothing to take over."""
    user_id = await add_user(github_registry, "octo", "github")
    await browser.sign_in("octo")
    assert (await browser.session())["user"]["id"] == str(user_id)


async def test_a_detached_github_user_with_a_token_is_not_attached(
    browser: Browser, github_registry: Registry
) -> None:
    """A revoked token counts too; nothing of the user changes."""
    user_id = await add_user(github_registry, "octo", "github")
    await github_registry.revoke(await github_registry.add_token(user_id, "publish"))
    assert refusal(await browser.sign_in("octo")) == TAKEN
    (row,) = await github_registry.rows("SELECT github_user_id, github_login FROM users")
    assert tuple(row) == (None, None)


async def test_a_detached_github_user_with_a_published_version_is_not_attached(
    browser: Browser, github_registry: Registry
) -> None:
    """Its token rows are deleted, but its published versions exist."""
    headers = await github_registry.add_publisher("octo")
    assert (await github_registry.publish(hello_archive(), headers)).status_code == 200
    await github_registry.rows("UPDATE audit_events SET actor_token_id = NULL RETURNING 1")
    await github_registry.rows("DELETE FROM tokens RETURNING 1")
    await github_registry.rows("UPDATE users SET created_via = 'github' RETURNING 1")
    assert refusal(await browser.sign_in("octo")) == TAKEN


async def test_a_handle_of_another_github_account_is_taken(
    browser: Browser, github_registry: Registry
) -> None:
    """A person who gets a login that somebody gave up does not get that person's account."""
    await add_user(github_registry, "octo", "github", github_id=99)
    assert refusal(await browser.sign_in("octo")) == TAKEN
    assert await github_registry.rows("SELECT 1 FROM web_sessions") == []


async def test_a_bootstrap_user_with_a_github_account_is_not_attached_to_another(
    browser: Browser, github_registry: Registry
) -> None:
    """An account is attached only once."""
    await add_user(github_registry, "octo", "bootstrap", github_id=99)
    assert refusal(await browser.sign_in("octo")) == TAKEN


async def test_a_handle_follows_the_login(
    browser: Browser, github: GithubServer, github_registry: Registry
) -> None:
    """The account stays the same under its new name."""
    await browser.sign_in("octo")
    github.rename("octo", "Cthulhu")
    await browser.sign_in("Cthulhu")
    assert await handles(github_registry) == ["cthulhu"]


async def test_a_new_login_that_is_taken_leaves_the_handle_as_it_was(
    browser: Browser, github: GithubServer, github_registry: Registry
) -> None:
    """The sign-in and the rest of its transaction still succeed."""
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
    """No request is refused because of the other one's handle."""
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


async def test_a_renamed_owner_is_seen_by_readers(
    browser: Browser, github: GithubServer, github_registry: Registry
) -> None:
    """Pages name owners, and other files have `is_official`: only these packages' generations rise."""
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
    assert await generations() == {**before, "hello": before["hello"] + 1}
    github.rename("plain", "webodik")
    await browser.sign_in("webodik")
    assert await generations() == {**before, "hello": before["hello"] + 2}
    github.rename("webodik", "octo")
    await browser.sign_in("octo")
    assert await generations() == {**before, "hello": before["hello"] + 3}
