"""docs/api.md has an example command for each route, and each command gives the printed answer."""

from __future__ import annotations

import os
import re
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest
import pytest_asyncio
from pydantic import SecretStr

from deploy.openapi.__main__ import DOCUMENT
from shared.settings import Settings
from tests.browser import WEB_ORIGIN, Browser
from tests.log.logs import LOGGING
from tests.stack import Registry, running_registry
from tests.test_readme import address, as_pattern, follow_readme, shell

__all__ = ["address"]

PAGE = Path(__file__).parents[2] / "docs" / "api.md"
EXAMPLE = re.compile(r"^### (\S+ \S+)\n(.*?)^```sh\n(.*?)^```\n```\n(.*?)^```$", re.MULTILINE | re.DOTALL)

WITHOUT_SIGN_IN = {
    "GET /v1/auth/github/start": "X07REG_GITHUB_OAUTH_DISABLED",
    "GET /v1/auth/github/callback": "X07REG_GITHUB_OAUTH_DISABLED",
    "GET /v1/auth/session": '{"ok":true,"authenticated":false}',
    "POST /v1/auth/logout": "X07REG_AUTH_REQUIRED",
}
"""The answers of the session's commands after `make run`."""


def examples() -> list[tuple[str, str, str]]:
    """Route, command and printed answer, in the order of the page."""
    return [(route, command, answer) for route, _, command, answer in EXAMPLE.findall(PAGE.read_text())]


def test_every_route_has_an_example_and_every_example_a_route() -> None:
    """Readers would not find a route without an example."""
    paths = msgspec.json.decode(DOCUMENT.read_bytes())["paths"]
    methods = ("get", "post", "patch", "delete")
    routes = {
        f"{method.upper()} {path}" for path, item in paths.items() for method in methods if method in item
    }
    shown = [route for route, _, _ in examples()]
    assert sorted(shown) == sorted(routes)
    assert re.findall(r"^### (.+)$", PAGE.read_text(), re.MULTILINE) == shown


@pytest_asyncio.fixture
async def working(github_settings: Settings) -> AsyncIterator[Registry]:
    """A registry with sign-in and a worker, whose publishes wait for visibility."""
    updates = {"publish_wait_seconds": 20.0, **LOGGING, "log_key_b64": SecretStr(LOGGING["log_key_b64"])}
    settings = github_settings.model_copy(update=updates)
    async with running_registry(settings) as running:
        yield running


async def test_every_command_gives_the_answer_it_shows(working: Registry, tmp_path: Path) -> None:
    """Readers copy the commands, so they run exactly as written, one after another."""
    browser = Browser(working.http, str(working.settings.github_authorize_base))
    assert (await browser.sign_in("octo")).status_code == 302
    admin = await working.add_user("_admin")
    await working.add_user("alice")
    variables = {
        "REGISTRY": working.url,
        "TOKEN": await working.add_token(admin, "publish", "token.manage", "owner.manage"),
        "SESSION": working.http.cookies["x07_session"],
        "CSRF": (await browser.session())["csrf_token"],
        "ORIGIN": WEB_ORIGIN,
        "PATH": os.environ["PATH"],
    }
    exported = "".join(f"export {name}='{value}'\n" for name, value in variables.items())
    for route, command, answer in examples():
        await gives(exported + command, tmp_path, route, answer)


@pytest.mark.long
async def test_the_commands_run_in_order_after_those_of_the_readme(address: str, tmp_path: Path) -> None:
    """They run beside a fresh `make run`; the session's commands answer as their section says."""
    await follow_readme(address, tmp_path)
    page = PAGE.read_text()
    (setting,) = re.findall(r"^```sh\n(REGISTRY=.*?)^```$", page, re.MULTILINE | re.DOTALL)
    variables = setting.replace("127.0.0.1:8080", address)
    signed_in = re.findall(r"^### (.+)$", page.partition("## The web session")[2].partition("\n## ")[0], re.M)
    assert len(signed_in) == len(WITHOUT_SIGN_IN)
    for route, command, answer in examples():
        if route in signed_in:
            nobody = f"SESSION= CSRF= ORIGIN=http://{address}\n"
            await gives(variables + nobody + command, tmp_path, route, WITHOUT_SIGN_IN[route])
        else:
            await gives(variables + command, tmp_path, route, answer)


async def gives(command: str, directory: Path, route: str, answer: str) -> None:
    """The command succeeds and prints each line of the answer."""
    output = (await shell(command, directory)).replace("\r", "")
    for line in answer.splitlines():
        assert re.search(as_pattern(line), output), f"{route}: {line!r} is not in:\n{output}"
