"""Drives a real Chromium over WebDriver (W3C), with the few commands that the walk needs."""

from __future__ import annotations

import asyncio
import re
import shutil
import tempfile
from base64 import b64decode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx

from tests.stack import eventually

ELEMENT = "element-6066-11e4-a52e-4f735466cecf"
FLAGS = (
    "--headless",
    "--no-sandbox",  # without it, Chromium refuses to run as root
    "--disable-gpu",
    "--hide-scrollbars",  # they take 15 pixels of a screenshot's width
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
# The second frame begins when the first one is painted.
PAINTED = "requestAnimationFrame(() => requestAnimationFrame(arguments[0]))"
TEXT = "return document.querySelector(arguments[0])?.innerText ?? ''"
DEADLINE_S = 30.0


class Chromium:
    """A browser window. http: at the session's address."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self._http = http

    async def open(self, url: str) -> None:
        """Go to a page."""
        await self._command("POST", "/url", {"url": url})

    async def url(self) -> str:
        """Its present URL."""
        return str(await self._command("GET", "/url"))

    async def click(self, selector: str) -> None:
        """Click the element of a CSS selector, once it exists."""
        await self._command("POST", f"/element/{await self._find(selector)}/click", {})

    async def type(self, selector: str, text: str) -> None:
        """Type into a field."""
        await self._command("POST", f"/element/{await self._find(selector)}/value", {"text": text})

    async def text(self, selector: str) -> str:
        """The text of an element."""
        return str(await self._command("GET", f"/element/{await self._find(selector)}/text"))

    async def until_text(self, selector: str, wanted: str) -> str:
        """Wait until an element's text contains this. Returns the text."""

        async def has_it() -> str | None:
            # In one step: between finding an element and reading it, another page may take its place.
            text = str(await self.run(TEXT, selector))
            return text if wanted in text else None

        return str(await eventually(has_it, DEADLINE_S))

    async def cookies(self) -> list[dict[str, Any]]:
        """The cookies of the page's host."""
        found: list[dict[str, Any]] = await self._command("GET", "/cookie")
        return found

    async def run(self, script: str, *arguments: Any) -> Any:
        """The result of a script that gets these arguments."""
        return await self._command("POST", "/execute/sync", {"script": script, "args": list(arguments)})

    async def run_async(self, script: str, *arguments: Any) -> Any:
        """What a script passes to the function that is its last argument, behind these."""
        return await self._command("POST", "/execute/async", {"script": script, "args": list(arguments)})

    async def show_as(self, width: int, scheme: str) -> None:
        """Give the page a width in pixels and a colour scheme, `light` or `dark`."""
        metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
        await self._devtools("Emulation.setDeviceMetricsOverride", metrics)
        feature = {"name": "prefers-color-scheme", "value": scheme}
        await self._devtools("Emulation.setEmulatedMedia", {"features": [feature]})
        await self.run_async(PAINTED)

    async def with_scripts(self, *, allowed: bool) -> None:
        """Run the scripts of the pages that are opened from now on, or none."""
        await self._devtools("Emulation.setScriptExecutionDisabled", {"value": not allowed})

    async def screenshot(self) -> bytes:
        """The whole page as a PNG, also what is below the window."""
        shot = await self._devtools("Page.captureScreenshot", {"captureBeyondViewport": True})
        return b64decode(shot["data"])

    async def _devtools(self, command: str, parameters: dict[str, Any]) -> Any:
        """Run a command of Chromium's DevTools protocol."""
        return await self._command("POST", "/goog/cdp/execute", {"cmd": command, "params": parameters})

    async def _find(self, selector: str) -> str:
        async def found() -> str | None:
            using = {"using": "css selector", "value": selector}
            answer = await self._http.post("/element", json=using)
            return str(answer.json()["value"][ELEMENT]) if answer.status_code == 200 else None

        return str(await eventually(found, DEADLINE_S))

    async def _command(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        answer = await self._http.request(method, path, json=body)
        assert answer.status_code == 200, answer.text
        return answer.json()["value"]


@asynccontextmanager
async def chromium() -> AsyncIterator[Chromium]:
    """A fresh browser. Needs Debian's chromium and chromium-driver (`make browser-test` installs them)."""
    program = shutil.which("chromedriver")
    assert program is not None, "chromedriver is not installed: run make browser-test"
    driver = await asyncio.create_subprocess_exec(program, "--port=0", stdout=asyncio.subprocess.PIPE)
    try:
        with tempfile.TemporaryDirectory(prefix="x07-chromium-") as profile:
            address = f"http://127.0.0.1:{await _port(driver)}"
            options = {"args": [*FLAGS, f"--user-data-dir={profile}"]}
            wanted = {"capabilities": {"alwaysMatch": {"goog:chromeOptions": options}}}
            async with httpx.AsyncClient(base_url=address, timeout=60) as http:
                answer = await http.post("/session", json=wanted)
                assert answer.status_code == 200, answer.text
                session = f"/session/{answer.json()['value']['sessionId']}"
                async with httpx.AsyncClient(base_url=address + session, timeout=60) as window:
                    yield Chromium(window)
                await http.delete(session)
    finally:
        driver.terminate()
        await driver.communicate()


async def _port(driver: asyncio.subprocess.Process) -> int:
    """The port that the driver prints."""
    assert driver.stdout is not None
    async with asyncio.timeout(DEADLINE_S):
        async for line in driver.stdout:
            if found := re.search(rb"started successfully on port ([0-9]+)", line):
                return int(found[1])
    raise RuntimeError("chromedriver ended")
