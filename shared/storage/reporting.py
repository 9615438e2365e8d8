"""Logs errors of storage where the operation, the key and the request are known."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from datetime import datetime
from typing import Any

import structlog

from shared.causes import cause_of, code_of
from shared.errors import StorageFailed, StorageUnavailable
from shared.storage.interface import BlobInfo, Found, Missing, NewFile, NotModified, Opened, Storage

log = structlog.get_logger()


@contextmanager
def reporting(operation: str, key: str | None = None) -> Iterator[None]:
    """Log a warning for a StorageUnavailable or StorageFailed, and let it pass."""
    try:
        yield
    except (StorageUnavailable, StorageFailed) as error:
        known = {"key": key, "code": code_of(error), "cause": cause_of(error)}
        log.warning("storage_error", operation=operation, **{k: v for k, v in known.items() if v is not None})
        raise


class ReportingStorage:
    """Forwards every call to the store that it wraps."""

    def __init__(self, storage: Storage) -> None:
        self.wrapped = storage

    async def get(self, key: str, *, if_revision: str | None = None) -> Found | NotModified | Missing:
        """As the wrapped store."""
        with reporting("get", key):
            return await self.wrapped.get(key, if_revision=if_revision)

    async def head(self, key: str) -> BlobInfo | None:
        """As the wrapped store."""
        with reporting("head", key):
            return await self.wrapped.head(key)

    @asynccontextmanager
    async def open(
        self, key: str, *, start: int = 0, end: int | None = None
    ) -> AsyncIterator[Opened | Missing]:
        """As the wrapped store; an error that ends the stream is logged too."""
        with reporting("open", key):
            async with self.wrapped.open(key, start=start, end=end) as opened:
                yield opened

    async def put(self, key: str, *args: Any, **conditions: Any) -> bool:
        """As the wrapped store."""
        with reporting("put", key):
            return await self.wrapped.put(key, *args, **conditions)

    async def put_file(self, key: str, *args: Any, **conditions: Any) -> bool:
        """As the wrapped store."""
        with reporting("put_file", key):
            return await self.wrapped.put_file(key, *args, **conditions)

    async def put_in_order(
        self, copies: Sequence[tuple[str, str]], first: Sequence[NewFile], then: Sequence[NewFile]
    ) -> bool:
        """As the wrapped store."""
        with reporting("put_in_order", then[0].key if then else None):
            return await self.wrapped.put_in_order(copies, first, then)

    async def copy(self, source: str, target: str, *, only_if_absent: bool = False) -> bool:
        """As the wrapped store."""
        with reporting("copy", target):
            return await self.wrapped.copy(source, target, only_if_absent=only_if_absent)

    async def delete(self, key: str, *, if_revision: str | None = None) -> bool:
        """As the wrapped store."""
        with reporting("delete", key):
            return await self.wrapped.delete(key, if_revision=if_revision)

    async def list(self, prefix: str, *, after: str | None = None) -> AsyncIterator[BlobInfo]:
        """As the wrapped store."""
        with reporting("list", prefix):
            async for info in self.wrapped.list(prefix, after=after):
                yield info

    async def scan(self, prefix: str) -> AsyncIterator[BlobInfo]:
        """As the wrapped store."""
        with reporting("scan", prefix):
            async for info in self.wrapped.scan(prefix):
                yield info

    async def now(self) -> datetime:
        """As the wrapped store."""
        with reporting("now"):
            return await self.wrapped.now()

    async def check(self) -> None:
        """As the wrapped store."""
        with reporting("check"):
            await self.wrapped.check()

    async def close(self) -> None:
        """As the wrapped store."""
        await self.wrapped.close()
