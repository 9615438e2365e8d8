"""A registry with pages and packages in it, for browsers and for the gallery."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from indexer.pages.status import publish_status
from shared.page_paths import STATUS_KEY
from shared.settings import Settings
from tests.archives import hello_archive
from tests.stack import Registry, eventually, running_registry
from tests.webui.webdriver import Chromium
from worker.process import open_parts

DOCS: Final = """\
# Greetings

Call `greeting.hello` with a *name*. [The guide](https://x07.io/guide) has more.

## Example

```
(greeting.hello "world")
```

- It greets.
- It greets **again**.

| name | answer |
| --- | --- |
| world | Hello, world! |
"""
WIDTHS: Final = (320, 768, 1280)
SCHEMES: Final = ("light", "dark")
# So that the time line is the same picture each time.
PUBLISHED: Final = {
    "0.1.0": "2024-03-01",
    "0.2.0": "2024-11-15",
    "0.3.0-rc.1": "2026-02-01",
    "0.3.0": "2026-02-20",
}
# What differs from run to run, and would break lines elsewhere: the port, ids and days.
SAME_EACH_TIME: Final = """
const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
while (texts.nextNode()) {
  const same = texts.currentNode.data.replaceAll(location.host, "registry.example")
    .replace(/[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}/g, "00000000-0000-4000-8000-000000000000")
    .replace(/20[0-9]{2}-[0-9]{2}-[0-9]{2}( [0-9:]{5} UTC)?/g, "2026-01-01");
  if (same !== texts.currentNode.data) texts.currentNode.data = same;
}
"""
FRESH: Final = ("/", "/packages/")
PATHS: Final = (
    "/",
    "/packages/",
    "/packages/hello",
    "/packages/hello/0.1.0",
    "/packages/hello/0.2.0",
    "/packages/hello/0.3.0/files",
    "/search?q=hello",
    "/search?q=nothing-like-it",
    "/help",
    "/docs/api",
    "/status",
)


@asynccontextmanager
async def paged_registry(
    database_url: str, redis_url: str, directory: Path, *, catalog_debounce_seconds: float = 0.02
) -> AsyncIterator[Registry]:
    """A fresh registry whose public address is its own."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        settings = Settings(
            database_url=database_url,
            redis_url=redis_url,
            redis_namespace=directory.name,
            data_dir=directory / "tree",
            pages="on",
            catalog_debounce_seconds=catalog_debounce_seconds,
            sweep_seconds=0.5,
            publish_wait_seconds=30,
            public_base=f"http://127.0.0.1:{listener.getsockname()[1]}",
        )
        async with running_registry(settings, listener=listener) as registry:
            yield registry


async def shots(
    registry: Registry, window: Chromium, paths: Sequence[str], prefix: str = ""
) -> AsyncIterator[tuple[str, bytes]]:
    """The name of each page at each width, light and dark, and its screenshot. It is open meanwhile."""
    for path in paths:
        await window.open(registry.url + path)
        if path == "/docs/api":
            await window.until_text("#viewer", "webhooks")
        await window.run(SAME_EACH_TIME)
        words = f"{prefix}/{path}".replace("?", "/").replace("=", "-").split("/")
        name = "-".join(filter(None, words)) or "home"
        for width in WIDTHS:
            for scheme in SCHEMES:
                await window.show_as(width, scheme)
                yield f"{name}-{width}-{scheme}", await window.screenshot()


async def open_when(window: Chromium, url: str, text: str) -> None:
    """Open a page again and again until it shows a text."""

    async def is_shown() -> bool:
        await window.open(url)
        return text in await window.text("body")

    await eventually(is_shown)


async def fill(registry: Registry) -> None:
    """Publish packages with documentation, requirements, a yank and an advisory, and wait for their pages."""
    alice = await registry.add_publisher("alice", "publish", "owner.manage")
    meta = {"x07c_compat": ">=0.1.111 <0.3.0", "requires_packages": ["ext-json@^1.2"], "facets": ["cli"]}
    for name in ("ext-json", "ext-http"):
        await registry.publish(hello_archive(name, "1.2.0", description=f"The {name} of the tests."), alice)
    for version in ("0.1.0", "0.2.0", "0.3.0-rc.1", "0.3.0"):
        await registry.publish(hello_archive(version=version, docs=DOCS, meta=meta), alice)
    for version, day in PUBLISHED.items():
        await registry.rows(
            "UPDATE package_versions SET published_at = CAST(:day AS timestamptz) WHERE version = :version "
            "AND package_id = (SELECT id FROM packages WHERE name = 'hello') RETURNING 1",
            day=datetime.fromisoformat(day).replace(tzinfo=UTC),
            version=version,
        )
    await registry.http.post("/v1/packages/hello/0.2.0/yank", json={"yanked": True}, headers=alice)
    advisory = {
        "kind": "security",
        "severity": "high",
        "summary": "A long name overflows.",
        "details": "Names of more than 64 characters.",
        "url": "https://x07.io/advisories/1",
    }
    await registry.http.post("/v1/packages/hello/0.2.0/advisories", json=advisory, headers=alice)

    async def is_written() -> bool:
        # A batch of pages ends with this one.
        feed = await registry.http.get("/feeds/advisories.atom")
        return "A long name overflows." in feed.text

    await eventually(is_written)
    # The worker would write it a minute after the one before.
    await registry.storage.delete(STATUS_KEY)
    async with open_parts(registry.settings) as parts:
        await publish_status(parts)

    async def is_counted() -> bool:
        return "Newest version" in (await registry.http.get("/status")).text

    await eventually(is_counted)
