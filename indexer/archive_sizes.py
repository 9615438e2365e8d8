"""Remembers the sizes of published archives, which never change."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from shared.blobs import archive_key
from shared.concurrency import together
from shared.names import PackageName
from shared.storage.interface import Storage
from shared.versions import VersionText

MOST_REMEMBERED: Final = 50_000


class ArchiveSizes:
    """The sizes of the archives that were asked for lately."""

    def __init__(self) -> None:
        self._sizes: dict[str, int] = {}

    async def of(
        self, storage: Storage, name: PackageName, versions: Sequence[VersionText]
    ) -> dict[VersionText, int]:
        """The size of each archive that is there, in bytes. Raises StorageUnavailable, StorageFailed."""
        keys = {version: archive_key(name, version) for version in versions}
        await together(*(self._look(storage, key) for key in keys.values() if key not in self._sizes))
        return {version: self._sizes[key] for version, key in keys.items() if key in self._sizes}

    async def _look(self, storage: Storage, key: str) -> None:
        info = await storage.head(key)
        if info is None or info.is_removed:
            return
        while len(self._sizes) >= MOST_REMEMBERED:
            del self._sizes[next(iter(self._sizes))]
        self._sizes[key] = info.size_bytes
