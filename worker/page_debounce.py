"""Debounces pages: collects changes for a while, then has the pages of all of them rendered.

Every worker may build; a lock in the database lets one at a time. While much waits, a worker spends at most a
fifth of its time on pages, so that publications do not wait for them.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from typing import Final

from indexer.pages.edition import begin_edition
from indexer.pages.publication import publish_pages
from indexer.parts import Parts

# Pauses in times of the build before: when nothing is left to do, and when more waits.
SHORT_PAUSE: Final = 0.5
LONG_PAUSE: Final = 4.0


class PageDebounce:
    """The builds of one worker."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._has_changed = asyncio.Event()
        self._has_changed.set()  # what changed before this worker started
        self._has_begun = False

    def note_change(self) -> None:
        """Have pages rendered soon."""
        self._has_changed.set()

    async def turn(self) -> None:
        """Wait for a change, or as long as the sweep does; collect more; render one batch; pause."""
        settings = self._parts.settings
        with suppress(TimeoutError):
            async with asyncio.timeout(settings.sweep_seconds):
                await self._has_changed.wait()
        self._has_changed.clear()
        await asyncio.sleep(settings.catalog_debounce_seconds)
        begun = time.monotonic()
        if not self._has_begun:
            await begin_edition(self._parts)
        is_done = await publish_pages(self._parts, anew=not self._has_begun)
        self._has_begun = True
        if not is_done:
            self._has_changed.set()
        await asyncio.sleep((SHORT_PAUSE if is_done else LONG_PAUSE) * (time.monotonic() - begun))
