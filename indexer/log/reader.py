"""Reads a log from storage or over HTTP: its checkpoint, its entries, and the proofs that its tiles give."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Final, TypeVar

from indexer.log.checkpoint import Checkpoint, open_checkpoint
from indexer.log.entry import parse_entry
from indexer.log.invalid import LogInvalid
from indexer.log.note import VerifierKey
from indexer.log.tiles import (
    TILE_HEIGHT,
    TILE_WIDTH,
    Edge,
    Tile,
    hashes_in,
    levels_of,
    parse_bundle,
    tile_for,
)
from indexer.log.tree import (
    HASH_BYTES,
    SubtreeHash,
    check_consistency,
    consistency_proof,
    inclusion_proof,
    perfect_root,
)
from shared.blobs import log_key
from shared.log_paths import CHECKPOINT_PATH
from shared.storage.interface import Found, Storage

BUNDLES_AT_ONCE: Final = 16

Fetch = Callable[[str], Awaitable[bytes | None]]
"""Called with a path below the log's prefix: the file's bytes, or None when there is no such file."""

T = TypeVar("T")


def fetch_from(storage: Storage) -> Fetch:
    """The files of the log in a store."""

    async def fetch(path: str) -> bytes | None:
        found = await storage.get(log_key(path))
        return found.body if isinstance(found, Found) else None

    return fetch


@dataclass(frozen=True, slots=True)
class Head:
    """A checkpoint that was verified, and the signed note it came in."""

    checkpoint: Checkpoint
    note: bytes

    @property
    def size(self) -> int:
        """Entries in the log."""
        return self.checkpoint.size

    @property
    def root(self) -> bytes:
        """The root of their tree."""
        return self.checkpoint.root


@dataclass(frozen=True, slots=True)
class LogReader:
    """Reads a log whose key is known. Results are verified unless a docstring says otherwise."""

    fetch: Fetch
    keys: Sequence[VerifierKey]
    origin: str | None = None

    async def head(self) -> Head | None:
        """The checkpoint; None if there is none. Raises LogInvalid if the log's key did not sign it."""
        note = await self.fetch(CHECKPOINT_PATH)
        return None if note is None else Head(open_checkpoint(note, self.keys, self.origin), note)

    async def tile(self, tile: Tile) -> bytes:
        """The hashes of a tile, unverified: of the partial one, or from the full one that replaced it.

        Raises LogInvalid if there is neither, or if it has another length.
        """
        found, body = await self._found(tile)
        if len(body) != found.width * HASH_BYTES:
            raise LogInvalid(f"{found.path} has {len(body)} bytes, not {found.width * HASH_BYTES}")
        return body[: tile.width * HASH_BYTES]

    async def bundle(self, tile: Tile) -> list[bytes]:
        """The entries of a bundle, unverified, as tile returns hashes. Raises LogInvalid."""
        found, body = await self._found(tile)
        entries = parse_bundle(body)
        if len(entries) != found.width:
            raise LogInvalid(f"{found.path} has {len(entries)} entries, not {found.width}")
        return entries[: tile.width]

    async def _found(self, tile: Tile) -> tuple[Tile, bytes]:
        """The tile or bundle that there is: this one, or the full one. Raises LogInvalid."""
        body = await self.fetch(tile.path)
        if body is None and not tile.is_full:
            tile = tile.full
            body = await self.fetch(tile.path)
        if body is None:
            raise LogInvalid(f"{tile.path} is missing")
        return tile, body

    async def entries(
        self, start: int, end: int, size: int | None = None
    ) -> AsyncIterator[tuple[int, list[bytes]]]:
        """Entries start to end, unverified, one bundle at a time, each with the index of its first entry.

        size: of the log, if it is greater than end. Raises LogInvalid.
        """
        bundles = _bundles(start, end, end if size is None else size)
        # A log may claim any size, so that its bundles are never listed before they were found.
        while some := list(islice(bundles, BUNDLES_AT_ONCE)):
            for tile, found in zip(some, await asyncio.gather(*map(self.bundle, some)), strict=True):
                first = tile.index * TILE_WIDTH
                skipped = max(start - first, 0)
                yield first + skipped, found[skipped : end - first]

    async def edge_at(self, checkpoint: Checkpoint) -> Edge:
        """The right edge of an earlier tree, computed from the present tiles.

        Raises LogInvalid if they do not lead to that tree's root, because the log now has another history.
        """
        levels = [
            await self._partial_hashes(level, checkpoint.size) for level in range(levels_of(checkpoint.size))
        ]
        edge = Edge(checkpoint.size, tuple(levels))
        if edge.root() != checkpoint.root:
            raise LogInvalid(f"the log no longer begins with the {edge.size} entries that it had")
        return edge

    async def _partial_hashes(self, level: int, size: int) -> bytes:
        """The hashes of a level's partial tile; empty if its last tile is full."""
        index, width = divmod(size >> TILE_HEIGHT * level, TILE_WIDTH)
        return await self.tile(Tile(level, index, width)) if width else b""

    async def find(self, name: str, version: str, size: int) -> tuple[int, bytes] | None:
        """The last entry of a version in a log of this size, unverified, and its index, or None.

        Reads bundles from the end of the log backwards. Raises LogInvalid.
        """
        step = BUNDLES_AT_ONCE * TILE_WIDTH
        for start in range((size - 1) // step * step, -1, -step):
            found: tuple[int, bytes] | None = None
            async for first, entries in self.entries(start, min(start + step, size), size):
                for index, entry in enumerate(entries, first):
                    parsed = parse_entry(entry)
                    if (parsed.name, parsed.version) == (name, version):
                        found = index, entry
            if found is not None:
                return found
        return None

    async def prove_inclusion(self, index: int, size: int) -> list[bytes]:
        """The audit path of an entry, unverified. Raises LogInvalid."""
        return await self._prove(size, lambda subtree: inclusion_proof(index, size, subtree))

    async def prove_consistency(self, old: int, new: int) -> list[bytes]:
        """The proof that a tree of size new begins with one of size old, unverified. Raises LogInvalid."""
        return await self._prove(new, lambda subtree: consistency_proof(old, new, subtree))

    async def require_consistent(self, old: Checkpoint, new: Checkpoint) -> None:
        """Raise LogInvalid unless the newer head's tree begins with the older one's."""
        proof = await self.prove_consistency(old.size, new.size) if old.size <= new.size else []
        check_consistency(old.size, new.size, old.root, new.root, proof)

    async def _prove(self, size: int, build: Callable[[SubtreeHash], T]) -> T:
        """Build a proof twice: without hashes, to find out which tiles it needs, then with their hashes."""
        needed: dict[str, Tile] = {}

        def note_down(height: int, index: int) -> bytes:
            tile = tile_for(height, index, size)[0]
            needed[tile.path] = tile
            return bytes(HASH_BYTES)

        build(note_down)
        bodies = dict(zip(needed, await asyncio.gather(*map(self.tile, needed.values())), strict=True))

        def subtree(height: int, index: int) -> bytes:
            tile, start, end = tile_for(height, index, size)
            return perfect_root(hashes_in(bodies[tile.path])[start:end])

        return build(subtree)


def _bundles(start: int, end: int, size: int) -> Iterator[Tile]:
    """The bundles of a log of this size that hold the entries start to end."""
    for index in range(start // TILE_WIDTH, -(-end // TILE_WIDTH)):
        yield Tile(None, index, min(size - index * TILE_WIDTH, TILE_WIDTH))
