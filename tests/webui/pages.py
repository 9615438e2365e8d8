"""Pages in a real browser (`make browser-test`): a person's way, how pages look, and what axe-core finds.

It is not part of `make test`, which needs no browser.
"""

from __future__ import annotations

import asyncio
import os
import time
from asyncio.subprocess import PIPE, STDOUT
from collections.abc import AsyncIterator, Awaitable, Callable
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from shared.settings import Settings
from tests.stack import Registry
from tests.webui.likeness import TOLERANCE, unlikeness
from tests.webui.paged import PATHS, SAME_EACH_TIME, fill, open_when, paged_registry, shots
from tests.webui.webdriver import Chromium, chromium

SOON_S = 2.0
AXE = (resources.files("axe_playwright_python") / "axe.min.js").read_text()
COMMANDS = "return [...document.querySelectorAll('#first ~ .command code')].map((each) => each.textContent)"
CHECK = """
const [tags, done] = arguments;
axe.run({ runOnly: tags }).then((found) => done(found.violations.map(
  (each) => [each.id, each.nodes.length, each.nodes[0].html])));
"""
TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
IS_TOO_WIDE = "return document.documentElement.scrollWidth > document.documentElement.clientWidth"
# Each breaks what a person would notice.
BROKEN = (
    "document.querySelector('link[rel=stylesheet]').disabled = true",
    "document.querySelector('main').style.maxWidth = '30rem'",
    "document.querySelector('[aria-labelledby=versions] table').hidden = true",
    "document.documentElement.style.setProperty('--paper', '#d7d7ff')",
)
OTHER_FONT = "document.body.style.fontFamily = 'serif'"


@pytest_asyncio.fixture(scope="module")
async def window() -> AsyncIterator[Chromium]:
    """One browser for all tests."""
    async with chromium() as opened:
        yield opened


@pytest_asyncio.fixture(scope="module")
async def filled(
    new_database: Callable[[], Awaitable[str]], valkey: Any, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Registry]:
    """A registry with packages."""
    directory = tmp_path_factory.mktemp("filled")
    async with paged_registry(await new_database(), valkey.url, directory) as running:
        await fill(running)
        yield running


async def test_a_person_publishes_what_the_page_says_and_sees_it(
    new_database: Callable[[], Awaitable[str]], valkey: Any, window: Chromium, tmp_path: Path
) -> None:
    """The commands of a fresh registry's home work as they are; then the package is found and read.

    It is on its page and on the home page two seconds later, unless the machine has other work. The debounce
    is that of a registry whose operator has set nothing.
    """
    debounce = Settings.model_fields["catalog_debounce_seconds"].default
    url, directory = await new_database(), tmp_path
    async with paged_registry(url, valkey.url, directory, catalog_debounce_seconds=debounce) as registry:
        (directory / "data").mkdir()
        headers = await registry.add_publisher()
        (directory / "data/token").write_text(headers["authorization"].removeprefix("Bearer "))
        await open_when(window, registry.url + "/", "Publish the first package")
        pack, publish = await window.run(COMMANDS)
        await run(pack, directory)
        await run(publish, directory)
        published = time.monotonic()
        await open_when(window, f"{registry.url}/packages/hello", "x07 pkg add hello@0.1.0")
        on_page = time.monotonic() - published
        await open_when(window, registry.url + "/", "hello 0.1.0")
        at_home = time.monotonic() - published
        load = os.getloadavg()[0]
        print(f"\nafter {on_page:.2f} s on its page, after {at_home:.2f} s at home; load {load:.1f}")
        assert at_home < SOON_S or load > (os.cpu_count() or 1)
        await window.type("input[name=q]", "hel")
        await window.click(".search button")
        await window.until_text("h1", "Search")
        await window.click(".cards a")
        await window.until_text("h1", "hello 0.1.0")
        assert await window.url() == f"{registry.url}/packages/hello"
        await window.click(".copy")
        await window.until_text(".copy", "ed")
        assert await window.text(".command code") == "x07 pkg add hello@0.1.0"


async def test_no_page_has_a_barrier_and_each_looks_as_it_was_kept(
    filled: Registry, window: Chromium
) -> None:
    """At three widths, light and dark: axe-core finds nothing, and no page scrolls sideways.

    If a page should look different now, `make pages KEEP=1` keeps its new look.
    """
    found: list[Any] = []
    async for name, screenshot in shots(filled, window, PATHS):
        if await window.run(IS_TOO_WIDE):
            found.append((name, "scrolls sideways"))
        if (differs := unlikeness(name, screenshot)) > TOLERANCE:
            found.append((name, f"{differs:.0%} of it looks different"))
        await window.run(AXE)
        found += [(name, *barrier) for barrier in await window.run_async(CHECK, TAGS)]
    assert found == []


async def test_the_comparison_notices_a_broken_page_and_lets_another_font_pass(
    filled: Registry, window: Chromium
) -> None:
    """A lost stylesheet, a narrow column, a lost table, another colour; a machine may have other fonts."""
    found = {}
    for script in (*BROKEN, OTHER_FONT):
        await window.open(f"{filled.url}/packages/hello")
        await window.show_as(1280, "light")
        await window.run(SAME_EACH_TIME)
        await window.run(script)
        found[script] = unlikeness("packages-hello-1280-light", await window.screenshot())
    print("", *(f"{differs:.3f}: {script}" for script, differs in found.items()), sep="\n")
    assert found.pop(OTHER_FONT) <= TOLERANCE
    assert min(found.values()) > TOLERANCE


async def test_the_viewer_of_the_api_sends_requests_to_this_registry_alone(
    filled: Registry, window: Chromium
) -> None:
    """Swagger UI runs under the policy of its page: an operation opens, has no barrier, and can be tried."""
    await window.show_as(1280, "light")
    await window.open(f"{filled.url}/docs/api")
    await window.click(".opblock-tag[data-tag=service] button")
    await window.click("#operations-service-health .opblock-summary-control")
    await window.click(".try-out__btn")
    await window.run(AXE)
    assert await window.run_async(CHECK, TAGS) == []
    await window.click(".execute")
    await window.until_text(".live-responses-table tbody .response-col_status", "200")
    loaded = await window.run("return performance.getEntriesByType('resource').map((each) => each.name)")
    assert loaded
    assert all(name.startswith((f"{filled.url}/", "data:")) for name in loaded)


async def test_pages_need_no_script(filled: Registry, window: Chromium) -> None:
    """Without JavaScript the pages lack the buttons and the viewer, and nothing else."""
    await window.with_scripts(allowed=False)
    try:
        await window.open(f"{filled.url}/packages/hello")
        assert "x07 pkg add hello@" in await window.text(".command code")
        await window.open(f"{filled.url}/docs/api")
        assert "/v1/packages/{name}/{version}/yank" in await window.text("#reference")
    finally:
        await window.with_scripts(allowed=True)


async def run(command: str, directory: Path) -> None:
    """Run a command of a page in a shell."""
    process = await asyncio.create_subprocess_exec(
        "bash", "-ec", command, cwd=directory, stdout=PIPE, stderr=STDOUT
    )
    output, _ = await process.communicate()
    assert process.returncode == 0, output
