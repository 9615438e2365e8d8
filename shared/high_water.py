"""Finds out whether the database is older than the published tree, as after a restore of a backup.

The catalog has a number that only grows and is committed before the catalog is put. If storage has a catalog
whose number the database does not know, a newer database made it. Nothing may be published from the older
database, because that would take acknowledged versions away from readers.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

import structlog

from shared.blobs import CATALOG_KEY
from shared.errors import DatabaseBehind, RegistryError, StorageUnavailable
from shared.storage.interface import Storage

# The first caller waits this long for both to answer.
FIRST_CHECK_S: Final = 5.0

log = structlog.get_logger()


class HighWater:
    """Compares the database with storage, and remembers the answer until the next comparison."""

    def __init__(self, storage: Storage, generation_in_rows: Callable[[], Awaitable[int]]) -> None:
        """generation_in_rows: reads the number of the last catalog that the database knows."""
        self._storage = storage
        self._generation_in_rows = generation_in_rows
        self._first_check = asyncio.Lock()
        self._is_checked = False
        self._behind: str | None = None

    @property
    def is_behind(self) -> bool:
        """True if the last comparison found the database older than storage."""
        return self._behind is not None

    async def check(self) -> None:
        """Compare now.

        Raises DatabaseBehind, and StorageUnavailable or DatabaseUnavailable if one does not answer.
        """
        # Storage is read first, because a number is in the database before it is in storage.
        catalog = await self._storage.head(CATALOG_KEY)
        in_storage = 0 if catalog is None else catalog.generation
        in_rows = await self._generation_in_rows()
        self._is_checked = True
        self._behind = None
        if in_storage > in_rows:
            self._behind = f"its catalog has the number {in_storage} in storage and {in_rows} in the database"
        self._require_current()

    async def require(self) -> None:
        """Raise what the last check raised. The first call checks."""
        if not self._is_checked:
            async with self._first_check:
                if not self._is_checked:
                    await self._check_in_time()
        self._require_current()

    async def _check_in_time(self) -> None:
        try:
            async with asyncio.timeout(FIRST_CHECK_S):
                await self.check()
        except TimeoutError:
            raise StorageUnavailable from None

    async def watch(self, pause_s: float) -> None:
        """Compare periodically until cancelled."""
        while True:
            try:
                await self.check()
            except RegistryError as error:
                log.warning("high_water_check_failed", code=error.code, reason=error.message)
            await asyncio.sleep(pause_s)

    def _require_current(self) -> None:
        if self._behind is not None:
            raise DatabaseBehind(self._behind)
