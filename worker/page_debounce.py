"""Debounces pages: collects changes for a while, then has the pages of all of them rendered.

Every worker may build; a lock in the database lets one at a time. While much waits, a worker spends at most a
fifth of its time on pages, so that publications do not wait for them. While publishes follow each other, one
build covers those of SOON_S.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from typing import Final

from indexer.pages.edition import begin_edition
from indexer.pages.publication import publish_pages
from indexer.parts import Parts

# The pause after a build, in builds: LONG_PAUSE if more waits, else MANY_BUILDS up to SOON_S, and at least
# SHORT_PAUSE. A change that just misses a build waits for its end, the pause, a while that collects changes,
# and the next build: less than two seconds while a build takes a tenth of one.
LONG_PAUSE: Final = 4.0
MANY_BUILDS: Final = 20.0
SOON_S: Final = 1.2
SHORT_PAUSE: Final = 0.5


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
            self._has_begun = True
        # The first build also puts the files of the site, which says nothing about the next one.
        is_first = not self._parts.pages.has_site_files
        is_done = await publish_pages(self._parts)
        if not is_done:
            self._has_changed.set()
        build_s = 0.0 if is_first and is_done else time.monotonic() - begun
        await asyncio.sleep(pause_after_build(build_s, is_done=is_done))


def pause_after_build(build_s: float, *, is_done: bool) -> float:
    """Seconds to collect changes before the next build, given how long a build takes."""
    if not is_done:
        return LONG_PAUSE * build_s
    return max(min(MANY_BUILDS * build_s, SOON_S), SHORT_PAUSE * build_s)
