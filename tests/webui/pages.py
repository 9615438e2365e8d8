"""Pages in a real browser (`make browser-test`): a person's way, and what axe-core finds.

It is not part of `make test`, which needs no browser.
"""

from __future__ import annotations

import asyncio
from asyncio.subprocess import PIPE, STDOUT
from collections.abc import AsyncIterator, Awaitable, Callable
from importlib import resources
from pathlib import Path
from typing import Any

import pytest_asyncio

from tests.stack import Registry, eventually
from tests.webui.paged import PATHS, fill, paged_registry
from tests.webui.webdriver import Chromium, chromium

WIDTHS = (320, 768, 1280)
SCHEMES = ("light", "dark")
AXE = (resources.files("axe_core_python") / "axe.min.js").read_text()
COMMANDS = "return [...document.querySelectorAll('#first ~ .command code')].map((each) => each.textContent)"
CHECK = "const done = arguments[arguments.length - 1]; axe.run().then((found) => done(found.violations));"
IS_TOO_WIDE = "return document.documentElement.scrollWidth > document.documentElement.clientWidth"


@pytest_asyncio.fixture
async def registry(
    new_database: Callable[[], Awaitable[str]], valkey: Any, tmp_path: Path
) -> AsyncIterator[Registry]:
    """A fresh registry with pages, at the address that it shows."""
    async with paged_registry(await new_database(), valkey.url, tmp_path) as running:
        yield running


@pytest_asyncio.fixture
async def window() -> AsyncIterator[Chromium]:
    """A browser."""
    async with chromium() as opened:
        yield opened


async def test_a_person_publishes_what_the_page_says_and_finds_it(
    registry: Registry, window: Chromium, tmp_path: Path
) -> None:
    """The commands of a fresh registry's home work as they are; then the package is found and read."""
    (tmp_path / "data").mkdir()
    headers = await registry.add_publisher()
    (tmp_path / "data/token").write_text(headers["authorization"].removeprefix("Bearer "))
    await open_when(window, registry.url + "/", "Publish the first package")
    shown = await window.run(COMMANDS)
    assert len(shown) == 2
    for command in shown:
        await run(command, tmp_path)
    await open_when(window, registry.url + "/", "hello 0.1.0")
    await window.type("input[name=q]", "hel")
    await window.click(".search button")
    await window.click(".cards a")
    await window.until_text("h1", "hello 0.1.0")
    assert await window.url() == f"{registry.url}/packages/hello"
    await window.click(".copy")
    await window.until_text(".copy", "ed")
    assert await window.text(".command code") == "x07 pkg add hello@0.1.0"


async def test_no_page_has_a_barrier_at_any_width_light_or_dark(registry: Registry, window: Chromium) -> None:
    """axe-core finds nothing, and no page scrolls sideways from 320 pixels on."""
    await fill(registry)
    found = []
    for path in PATHS:
        await window.open(registry.url + path)
        for width in WIDTHS:
            for scheme in SCHEMES:
                await window.show_as(width, scheme)
                assert not await window.run(IS_TOO_WIDE), (path, width)
                await window.run(AXE)
                barriers = await window.run_async(CHECK)
                found += [(path, width, scheme, each["id"], each["nodes"][0]["html"]) for each in barriers]
    assert found == []


async def test_pages_need_no_script(registry: Registry, window: Chromium) -> None:
    """Without JavaScript the pages lack the buttons, and nothing else."""
    await fill(registry)
    await window.without_scripts()
    await window.open(f"{registry.url}/packages/hello")
    assert "x07 pkg add hello@" in await window.text(".command code")


async def open_when(window: Chromium, url: str, text: str) -> None:
    """Open a page again and again until it shows a text."""

    async def is_shown() -> bool:
        await window.open(url)
        return text in await window.text("body")

    await eventually(is_shown)


async def run(command: str, directory: Path) -> None:
    """Run a command of a page in a shell."""
    process = await asyncio.create_subprocess_exec(
        "bash", "-ec", command, cwd=directory, stdout=PIPE, stderr=STDOUT
    )
    output, _ = await process.communicate()
    assert process.returncode == 0, output
