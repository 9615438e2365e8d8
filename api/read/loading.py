"""Loads blobs from storage, with limits on concurrency, bytes in flight and time."""

from __future__ import annotations

import asyncio
from typing import Final, cast

from api.read.gate import ByteGate
from api.read.representation import Representation
from shared.blobs import ARCHIVE_TYPE, CATALOG_KEY, content_type_of
from shared.encodings import Coding
from shared.errors import StorageUnavailable
from shared.storage.interface import Found, Missing, NotModified, Opened, Readable

LOADS_AT_ONCE: Final = 32
LOAD_TIMEOUT_S: Final = 30.0


class Loader:
    """Reads blobs of at most whole_bytes into memory, and only describes bigger ones.

    in_flight_bytes: total size of the bodies that may be in loading at once, counted when sizes are known.
    """

    def __init__(self, tree: Readable, *, whole_bytes: int, in_flight_bytes: int) -> None:
        self._tree = tree
        self._whole_bytes = whole_bytes
        self._places = asyncio.Semaphore(LOADS_AT_ONCE)
        self._gate = ByteGate(in_flight_bytes)

    async def load(self, key: str, coding: Coding | None = None) -> Representation | Missing:
        """The blob. Raises StorageUnavailable or StorageFailed."""
        try:
            async with asyncio.timeout(LOAD_TIMEOUT_S), self._places:
                if _may_be_big(key):
                    return await self._open(key, coding)
                async with self._gate.admit(self._whole_bytes // 8):
                    # Without a revision, nothing is answered as not modified.
                    outcome = cast(Found | Missing, await self._tree.get(key))
                    return self._kept(outcome, coding) if isinstance(outcome, Found) else outcome
        except TimeoutError:
            raise StorageUnavailable from None

    async def reload(self, known: Representation) -> Representation | NotModified | Missing:
        """The blob if it differs from the known one. Raises StorageUnavailable or StorageFailed."""
        key, revision = known.info.key, known.info.revision
        async with self._places:
            if known.body is None:
                info = await self._tree.head(key)
                if info is not None and info.revision == revision:
                    return NotModified(revision)
                return await self._open(key, known.coding)
            async with self._gate.admit(known.size_bytes):
                outcome = await self._tree.get(key, if_revision=revision)
                return self._kept(outcome, known.coding) if isinstance(outcome, Found) else outcome

    async def describe(self, key: str, coding: Coding | None = None) -> Representation | Missing:
        """The blob without its body. Raises StorageUnavailable or StorageFailed."""
        try:
            async with asyncio.timeout(LOAD_TIMEOUT_S), self._places:
                info = await self._tree.head(key)
        except TimeoutError:
            raise StorageUnavailable from None
        return Missing() if info is None else Representation.described(info, coding)

    async def _open(self, key: str, coding: Coding | None) -> Representation | Missing:
        """Check the size before reading the body."""
        async with self._tree.open(key) as opened:
            if isinstance(opened, Opened):
                if opened.info.size_bytes > self._whole_bytes:
                    return Representation.described(opened.info, coding)
                async with self._gate.admit(opened.info.size_bytes):
                    body = b"".join([chunk async for chunk in opened.chunks])
                    return Representation.of(Found(opened.info, body), coding)
            return opened

    def _kept(self, found: Found, coding: Coding | None) -> Representation:
        if len(found.body) > self._whole_bytes:
            return Representation.described(found.info, coding)
        return Representation.of(found, coding)


def _may_be_big(key: str) -> bool:
    """True for archives and the catalog; index files and documents are usually small."""
    return content_type_of(key) == ARCHIVE_TYPE or key.startswith(CATALOG_KEY)
