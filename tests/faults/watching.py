"""Readers that read continuously and check that what they saw stays."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from tests.faults.cluster import Process
from tests.faults.promises import index_lines

POLL_S = 0.002


@asynccontextmanager
async def watching(reader: Process, name: str) -> AsyncIterator[None]:
    """Read an index file continuously. Fails if a version disappears."""
    seen: set[str] = set()

    async def watch() -> None:
        while True:
            now = set(await index_lines(reader.http, name))
            assert seen <= now, f"{seen - now} of {name} was there, and is gone"
            seen.update(now)
            await asyncio.sleep(POLL_S)

    watcher = asyncio.create_task(watch())
    try:
        yield
    finally:
        watcher.cancel()
        with suppress(asyncio.CancelledError):
            await watcher
