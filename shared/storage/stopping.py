"""A store for fault tests: the process dies after its N-th change of the store that this one wraps."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import Any

from shared.stop_points import die
from shared.storage.interface import BlobInfo, Found, Missing, NotModified, Opened, Storage


class StoppingStorage:
    """Forwards every call; put, put_file, copy and delete count as changes."""

    def __init__(self, storage: Storage, last_change: int) -> None:
        """last_change: the change, counted from 1, after which the process dies by SIGKILL."""
        self._storage = storage
        self._changes_left = last_change

    async def get(self, key: str, *, if_revision: str | None = None) -> Found | NotModified | Missing:
        """As the wrapped store."""
        return await self._storage.get(key, if_revision=if_revision)

    async def head(self, key: str) -> BlobInfo | None:
        """As the wrapped store."""
        return await self._storage.head(key)

    def open(
        self, key: str, *, start: int = 0, end: int | None = None
    ) -> AbstractAsyncContextManager[Opened | Missing]:
        """As the wrapped store."""
        return self._storage.open(key, start=start, end=end)

    async def put(self, *args: Any, **conditions: Any) -> bool:
        """A change."""
        return self._counted(await self._storage.put(*args, **conditions))

    async def put_file(self, *args: Any, **conditions: Any) -> bool:
        """A change."""
        return self._counted(await self._storage.put_file(*args, **conditions))

    async def put_in_order(self, *_: Any) -> bool:
        """Never, so that each change can be the last one."""
        return False

    async def copy(self, *args: Any, **conditions: Any) -> bool:
        """A change."""
        return self._counted(await self._storage.copy(*args, **conditions))

    async def delete(self, *args: Any, **conditions: Any) -> bool:
        """A change."""
        return self._counted(await self._storage.delete(*args, **conditions))

    def list(self, prefix: str, *, after: str | None = None) -> AsyncIterator[BlobInfo]:
        """As the wrapped store."""
        return self._storage.list(prefix, after=after)

    def scan(self, prefix: str) -> AsyncIterator[BlobInfo]:
        """As the wrapped store."""
        return self._storage.scan(prefix)

    async def now(self) -> datetime:
        """As the wrapped store."""
        return await self._storage.now()

    async def check(self) -> None:
        """As the wrapped store."""
        await self._storage.check()

    async def close(self) -> None:
        """As the wrapped store."""
        await self._storage.close()

    def _counted(self, outcome: bool) -> bool:
        self._changes_left -= 1
        if self._changes_left == 0:
            die()
        return outcome
