"""A registry with pages and packages in it, for browsers and for the gallery."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from shared.settings import Settings
from tests.archives import hello_archive
from tests.stack import Registry, eventually, running_registry

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
PATHS: Final = (
    "/",
    "/packages/",
    "/packages/hello",
    "/packages/hello/0.1.0",
    "/packages/hello/0.2.0",
    "/search?q=hello",
    "/search?q=nothing-like-it",
    "/help",
    "/docs/api",
    "/status",
)


@asynccontextmanager
async def paged_registry(database_url: str, redis_url: str, directory: Path) -> AsyncIterator[Registry]:
    """A fresh registry whose public address is its own."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        settings = Settings(
            database_url=database_url,
            redis_url=redis_url,
            redis_namespace=directory.name,
            data_dir=directory / "tree",
            pages="on",
            catalog_debounce_seconds=0.02,
            sweep_seconds=0.5,
            publish_wait_seconds=30,
            public_base=f"http://127.0.0.1:{listener.getsockname()[1]}",
        )
        async with running_registry(settings, listener=listener) as registry:
            yield registry


async def fill(registry: Registry) -> None:
    """Publish packages with documentation, requirements, a yank and an advisory, and wait for their pages."""
    alice = await registry.add_publisher("alice", "publish", "owner.manage")
    meta = {"x07c_compat": ">=0.1.111 <0.3.0", "requires_packages": ["ext-json@^1.2"], "facets": ["cli"]}
    for name in ("ext-json", "ext-http"):
        await registry.publish(hello_archive(name, "1.2.0", description=f"The {name} of the tests."), alice)
    for version in ("0.1.0", "0.2.0", "0.3.0-rc.1", "0.3.0"):
        await registry.publish(hello_archive(version=version, docs=DOCS, meta=meta), alice)
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
        page = await registry.http.get("/packages/hello/0.2.0")
        return "A long name overflows." in page.text

    await eventually(is_written)
