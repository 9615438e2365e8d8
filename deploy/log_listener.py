"""Learns of changes from new entries of the transparency log while no change messages arrive.

`x07-registry mirror` updates a mirror for read servers that share only its directory, and writes the
checkpoint last. A read server of a registry whose Redis is unavailable learns of changes in the same way.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Final

import msgspec
import structlog

from indexer.log.invalid import LogInvalid
from indexer.log.tiles import TILE_WIDTH, Tile, parse_bundle
from shared.blobs import (
    CATALOG_KEY,
    CHECKPOINT_KEY,
    archive_key,
    index_key,
    log_key,
    metadata_key,
    package_key,
)
from shared.errors import RegistryError
from shared.messages import Change
from shared.names import PackageName
from shared.storage.interface import Found, Storage
from shared.versions import VersionText

PAUSE_S: Final = 0.5
# If there are more new entries than this, every cached blob is confirmed again instead.
MOST_ENTRIES: Final = 4096

log = structlog.get_logger()


class _Entry(msgspec.Struct, frozen=True):
    name: str
    version: str


class LogListener:
    """Reads the checkpoint in storage periodically while it runs.

    on_change: called with the changes of new entries. on_gap: called whenever changes may have been missed.
    is_needed: false while messages arrive; then nothing is read.
    """

    def __init__(
        self,
        storage: Storage,
        on_change: Callable[[Change], None],
        on_gap: Callable[[], None],
        is_needed: Callable[[], bool],
    ) -> None:
        self._storage = storage
        self._on_change = on_change
        self._on_gap = on_gap
        self._is_needed = is_needed
        self._revision: str | None = None
        self._size = 0
        self._is_deaf = False

    async def run(self) -> None:
        """Read until cancelled."""
        while True:
            try:
                await self._turn()
                self._is_deaf = False
            except RegistryError as error:
                self._revision = None
                if not self._is_deaf:
                    log.info("log_listener_failed", error=type(error).__name__)
                self._is_deaf = True
            except Exception:
                log.exception("log_listener_crashed")  # keep reading after a pause
            await asyncio.sleep(PAUSE_S)

    async def _turn(self) -> None:
        if not self._is_needed():
            self._revision = None
            return
        found = await self._storage.get(CHECKPOINT_KEY, if_revision=self._revision)
        if isinstance(found, Found):
            size = _size_in(found.body)
            await self._tell(size)
            self._revision, self._size = found.info.revision, size

    async def _tell(self, size: int) -> None:
        """Report the changes of the entries up to this size, if the last size is known."""
        if self._revision is None or not self._size <= size <= self._size + MOST_ENTRIES:
            self._on_gap()
            return
        keys: dict[str, None] = {CHECKPOINT_KEY: None, CATALOG_KEY: None}
        try:
            async for entry in self._entries(self._size, size):
                keys.update(dict.fromkeys(_keys_of(entry)))
        except (LogInvalid, msgspec.MsgspecError):
            self._on_gap()
        else:
            self._on_change(Change(tuple(keys)))

    async def _entries(self, start: int, end: int) -> AsyncIterator[_Entry]:
        """The entries start to end. Raises LogInvalid if a bundle is missing."""
        for index in range(start // TILE_WIDTH, -(-end // TILE_WIDTH)):
            first = index * TILE_WIDTH
            tile = Tile(None, index, min(end - first, TILE_WIDTH))
            found = await self._storage.get(log_key(tile.path))
            if not isinstance(found, Found):
                raise LogInvalid(f"{tile.path} is missing")
            for entry in parse_bundle(found.body)[max(start - first, 0) : end - first]:
                yield msgspec.json.decode(entry, type=_Entry)


def _keys_of(entry: _Entry) -> tuple[str, ...]:
    """The files that were put or deleted before the line was logged."""
    name, version = PackageName(entry.name), VersionText(entry.version)
    return (index_key(name), package_key(name), metadata_key(name, version), archive_key(name, version))


def _size_in(checkpoint: bytes) -> int:
    """The number of entries in a checkpoint (c2sp.org/tlog-checkpoint); 0 if it is none.

    Its signature is not verified, because it is only a hint of what to read again.
    """
    lines = checkpoint.split(b"\n")
    return int(lines[1]) if len(lines) > 2 and lines[1].isdigit() else 0
