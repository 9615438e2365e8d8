"""A store whose tree was there and is gone does not answer "missing" any more.

An unmounted volume, an emptied bucket or a wrong prefix looks like a registry without packages. Every
published tree holds config.json; once this process has seen it, a tree without it is out of reach.
"""

from __future__ import annotations

import time
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from shared.blobs import CONFIG_KEY
from shared.errors import StorageUnavailable
from shared.storage.interface import BlobInfo, Found, Missing, NotModified, Opened

# A tree that was seen this recently is not looked at again.
STANDS_FOR_S = 1.0


class Readable(Protocol):
    """The half of a store that the read service uses; see shared.storage.interface.Storage."""

    async def get(self, key: str, *, if_revision: str | None = None) -> Found | NotModified | Missing:
        """The whole blob; NotModified when its revision still equals if_revision."""

    async def head(self, key: str) -> BlobInfo | None:
        """What is known of the blob, or None."""

    def open(
        self, key: str, *, start: int = 0, end: int | None = None
    ) -> AbstractAsyncContextManager[Opened | Missing]:
        """Stream bytes start to end."""

    async def check(self) -> None:
        """Raise unless the store answers."""


class StandingTree:
    """A store that raises StorageUnavailable instead of "missing" while the whole tree is gone."""

    def __init__(self, storage: Readable) -> None:
        self._storage = storage
        self._was_seen = False
        self._seen_at = float("-inf")

    async def get(self, key: str, *, if_revision: str | None = None) -> Found | NotModified | Missing:
        """The whole blob; NotModified when its revision still equals if_revision."""
        outcome = await self._storage.get(key, if_revision=if_revision)
        if isinstance(outcome, Missing):
            await self.require_tree()
        elif key == CONFIG_KEY:
            self._see()
        return outcome

    async def head(self, key: str) -> BlobInfo | None:
        """What is known of the blob, or None."""
        info = await self._storage.head(key)
        if info is None:
            await self.require_tree()
        return info

    def open(
        self, key: str, *, start: int = 0, end: int | None = None
    ) -> AbstractAsyncContextManager[Opened | Missing]:
        """Stream bytes start to end; the caller asks require_tree() about a missing one."""
        return self._storage.open(key, start=start, end=end)

    async def check(self) -> None:
        """Raise unless the store answers."""
        await self._storage.check()

    async def require_tree(self) -> None:
        """Raise StorageUnavailable if a tree was here before and is not here now."""
        if time.monotonic() - self._seen_at < STANDS_FOR_S:
            return
        if await self._storage.head(CONFIG_KEY) is not None:
            self._see()
        elif self._was_seen:
            raise StorageUnavailable("the published tree is not there")

    def _see(self) -> None:
        self._was_seen, self._seen_at = True, time.monotonic()
