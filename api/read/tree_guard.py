"""A store for readers that raises StorageUnavailable instead of "missing" when the whole tree has vanished.

An unmounted volume, an emptied bucket or a wrong prefix looks like a registry without packages. Every
published tree contains config.json. Once this process has seen that file, a tree without it counts as
unavailable.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from shared.blobs import CONFIG_KEY
from shared.errors import StorageUnavailable
from shared.storage.interface import BlobInfo, Found, Missing, NotModified, Opened, Readable

# The guard asks for config.json at most once in this time.
TREE_SEEN_FOR_S: Final = 1.0


class TreeGuard:
    """A store that raises StorageUnavailable instead of "missing" while the whole tree is gone."""

    def __init__(self, storage: Readable) -> None:
        self._storage = storage
        self._was_seen = False
        self._seen_at = float("-inf")

    async def get(self, key: str, *, if_revision: str | None = None) -> Found | NotModified | Missing:
        """The whole blob; NotModified when its revision still equals if_revision."""
        outcome = await self._storage.get(key, if_revision=if_revision)
        if isinstance(outcome, Missing):
            await self._require_tree()
        elif key == CONFIG_KEY:
            self._note_seen()
        return outcome

    async def head(self, key: str) -> BlobInfo | None:
        """The metadata of the blob, or None."""
        info = await self._storage.head(key)
        if info is None:
            await self._require_tree()
        return info

    @asynccontextmanager
    async def open(
        self, key: str, *, start: int = 0, end: int | None = None
    ) -> AsyncIterator[Opened | Missing]:
        """Stream bytes start to end."""
        async with self._storage.open(key, start=start, end=end) as opened:
            if isinstance(opened, Missing):
                await self._require_tree()
            yield opened

    async def _require_tree(self) -> None:
        """Raise StorageUnavailable if this process has seen a tree and there is none now."""
        if time.monotonic() - self._seen_at < TREE_SEEN_FOR_S:
            return
        if await self._storage.head(CONFIG_KEY) is not None:
            self._note_seen()
        elif self._was_seen:
            raise StorageUnavailable("the published tree has vanished")

    def _note_seen(self) -> None:
        self._was_seen, self._seen_at = True, time.monotonic()
