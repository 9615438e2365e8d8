"""docs/api.md has each route with a command, and each command gives the answer that is shown."""

from __future__ import annotations

import os
import re
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest_asyncio

from deploy.openapi.__main__ import DOCUMENT
from shared.settings import Settings
from tests.browser import WEB_ORIGIN, Browser
from tests.stack import Registry, running_registry
from tests.test_readme import as_pattern, shell

PAGE = Path(__file__).parents[2] / "docs" / "api.md"
EXAMPLE = re.compile(r"^### (\S+ \S+)\n(.*?)^```sh\n(.*?)^```\n```\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def examples() -> list[tuple[str, str, str]]:
    """Route, command and shown answer, in the order of the page."""
    return [(route, command, answer) for route, _, command, answer in EXAMPLE.findall(PAGE.read_text())]


def test_every_route_has_an_example_and_every_example_a_route() -> None:
    """A route without one is not found by anybody."""
    paths = msgspec.json.decode(DOCUMENT.read_bytes())["paths"]
    methods = ("get", "post", "delete")
    routes = {
        f"{method.upper()} {path}" for path, item in paths.items() for method in methods if method in item
    }
    shown = [route for route, _, _ in examples()]
    assert sorted(shown) == sorted(routes)
    assert re.findall(r"^### (.+)$", PAGE.read_text(), re.MULTILINE) == shown


@pytest_asyncio.fixture
async def working(github_settings: Settings) -> AsyncIterator[Registry]:
    """A registry with sign-in and a worker, whose publishes wait for it."""
    settings = github_settings.model_copy(update={"publish_wait_seconds": 20.0})
    async with running_registry(settings) as running:
        yield running


async def test_every_command_gives_the_answer_it_shows(working: Registry, tmp_path: Path) -> None:
    """Readers copy them; so they run here as they stand, one after the other."""
    browser = Browser(working.http, str(working.settings.github_authorize_base))
    assert (await browser.sign_in("octo")).status_code == 302
    (octo,) = await working.rows("SELECT id FROM users WHERE handle = 'octo'")
    await working.add_user("bob")
    variables = {
        "REGISTRY": working.url,
        "TOKEN": await working.add_token(octo.id, "publish", "token.manage", "owner.manage"),
        "SESSION": working.http.cookies["x07_session"],
        "CSRF": (await browser.session())["csrf_token"],
        "ORIGIN": WEB_ORIGIN,
        "PATH": os.environ["PATH"],
    }
    exported = "".join(f"export {name}='{value}'\n" for name, value in variables.items())
    for route, command, answer in examples():
        output = (await shell(exported + command, tmp_path)).replace("\r", "")
        for line in answer.splitlines():
            assert re.search(as_pattern(line), output), f"{route}: {line!r} is not in:\n{output}"
