"""Debounces the catalog: collects changes for a while, then has it built once for all of them.

A build is a job, so that one worker builds for the changes of all. While Redis is away, and as often as the
sweep, each worker builds it without one.
"""

from __future__ import annotations

import asyncio
import time

from indexer.catalog_publication import publish_catalog
from indexer.catalog_sections import KeptCatalog
from indexer.parts import Parts

# The pause after a build, in builds: at most MANY_BUILDS while that is below SOON_S, else FEW_BUILDS. A
# change that just misses a build waits for the end of that build, a pause and the next build.
MANY_BUILDS = 40.0
SOON_S = 4.0
FEW_BUILDS = 8.0
LATEST_S = 14.0


class CatalogDebounce:
    """The builds of one worker."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._has_changed = asyncio.Event()
        self._building = asyncio.Lock()
        self._next_at = 0.0
        self._kept = KeptCatalog()

    @property
    def pause_left_s(self) -> float:
        """Seconds until the next build may begin; 0 or less for now."""
        return self._next_at - time.monotonic()

    def note_change(self) -> None:
        """Have the catalog built soon."""
        self._has_changed.set()

    async def turn(self) -> None:
        """Wait for a change, and queue a build for it and those that follow at once."""
        await self._has_changed.wait()
        self._has_changed.clear()
        debounce_s = self._parts.settings.catalog_debounce_seconds
        is_queued = await self._parts.notifier.queue_catalog(max(debounce_s, self.pause_left_s))
        await asyncio.sleep(debounce_s)
        if not is_queued:
            await self.build_if_due()

    async def build_if_due(self) -> None:
        """Build the catalog if a package changed and the pause after the last build is over."""
        if self.pause_left_s <= 0 and not self._building.locked():
            await self.build()

    async def build(self) -> None:
        """Build the catalog if a package changed. Raises what publish_catalog raises."""
        async with self._building:
            begun, is_first = time.monotonic(), self._kept.is_empty
            if not await publish_catalog(self._parts, self._kept):
                self._has_changed.set()
            # The first build makes every section, which says nothing about the next one.
            build_s = 0.0 if is_first else time.monotonic() - begun
            debounce_s = self._parts.settings.catalog_debounce_seconds
            self._next_at = time.monotonic() + pause_after_build(build_s, debounce_s)


def pause_after_build(build_s: float, debounce_s: float) -> float:
    """Seconds to collect changes before the next build of the catalog, given how long a build takes.

    The pause is long enough that a worker spends at most a ninth of its time on builds, however many
    publishes arrive: a fortieth if builds take at most 0.1 s, as of 100,000 packages. The catalog then
    follows within 5 s, and within LATEST_S as long as builds take less than that.
    """
    pause_s = max(min(MANY_BUILDS * build_s, SOON_S), FEW_BUILDS * build_s)
    return max(debounce_s, min(pause_s, LATEST_S - 2 * build_s))
