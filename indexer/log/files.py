"""The log's files in storage. Tiles and bundles are written once; partial ones are removed later."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from typing import Final

from indexer.encodings import put_variants_of_body
from indexer.log.tiles import TILE_HEIGHT, TILE_WIDTH, Edge, Tile, levels_of, render_bundle
from shared.blobs import TILE_TYPE, log_key
from shared.concurrency import together
from shared.errors import LogDiverged
from shared.log_paths import is_full_bundle
from shared.storage.interface import Found, Storage

PUTS_AT_ONCE: Final = 32


def bundles_of(first: int, entries: Sequence[bytes]) -> list[tuple[Tile, bytes]]:
    """The entry bundles of entries from an index on. first: a multiple of 256."""
    bundles: list[tuple[Tile, bytes]] = []
    for start in range(0, len(entries), TILE_WIDTH):
        some = entries[start : start + TILE_WIDTH]
        bundles.append((Tile(None, (first + start) // TILE_WIDTH, len(some)), render_bundle(some)))
    return bundles


def lasting_files(
    bundles: Sequence[tuple[Tile, bytes]], tiles: Sequence[tuple[Tile, bytes]], edge: Edge, size: int
) -> list[tuple[Tile, bytes]]:
    """The files of one step that a log of the final size still has.

    bundles, tiles: of the step. edge: after it. size: the final one, at which partial files last.
    """
    full = [file for file in (*bundles, *tiles) if file[0].is_full]
    if edge.size < size:
        return full
    return [*full, *(bundle for bundle in bundles if not bundle[0].is_full), *edge.partial_tiles()]


async def put_tiles(storage: Storage, tiles: Sequence[tuple[Tile, bytes]]) -> None:
    """Write tiles and bundles that no checkpoint includes yet.

    Raises LogDiverged if storage has other bytes at such a key, because they are of another history.
    """
    await together(*(_put_once(storage, tile, body) for tile, body in tiles), at_once=PUTS_AT_ONCE)


async def put_over(storage: Storage, tiles: Sequence[tuple[Tile, bytes]]) -> None:
    """Write tiles and bundles of a copy, replacing files beyond its checkpoint."""
    await together(
        *(
            storage.put(log_key(tile.path), body, content_type=TILE_TYPE, digest=sha256(body).hexdigest())
            for tile, body in tiles
        ),
        at_once=PUTS_AT_ONCE,
    )


async def replace_tiles(storage: Storage, tiles: Sequence[tuple[Tile, bytes]]) -> int:
    """Write tiles and bundles that storage lacks or has with other bytes. Returns how many."""
    return sum(await together(*(_replace(storage, *tile) for tile in tiles), at_once=PUTS_AT_ONCE))


async def _replace(storage: Storage, tile: Tile, body: bytes) -> bool:
    key, digest = log_key(tile.path), sha256(body).hexdigest()
    found = await storage.get(key)
    if isinstance(found, Found) and (found.body, found.digest) == (body, digest):
        return False
    if is_full_bundle(tile.path):
        await put_variants_of_body(storage, key, body, content_type=TILE_TYPE, digest=digest)
    return await storage.put(key, body, content_type=TILE_TYPE, digest=digest)


async def _put_once(storage: Storage, tile: Tile, body: bytes) -> None:
    key, digest = log_key(tile.path), sha256(body).hexdigest()
    if is_full_bundle(tile.path):
        await put_variants_of_body(storage, key, body, content_type=TILE_TYPE, digest=digest)
    if await storage.put(key, body, content_type=TILE_TYPE, digest=digest, only_if_absent=True):
        return
    info = await storage.head(key)  # put by an earlier try, or by a put whose answer was lost
    if info is None or info.digest != digest:
        raise LogDiverged(f"{key} is there already, with other bytes than the database has for it")


async def remove_partial(storage: Storage, earlier: int, size: int) -> None:
    """Remove the partial tiles of a tree of size `earlier` that are full ones in the tree of this size.

    Readers that still have the earlier checkpoint use the full tile instead (c2sp.org/tlog-tiles).
    """
    for level in (None, *range(levels_of(earlier))):
        last = (earlier >> TILE_HEIGHT * (level or 0)) // TILE_WIDTH
        if last < (size >> TILE_HEIGHT * (level or 0)) // TILE_WIDTH:
            async for info in storage.list(log_key(f"{Tile(level, last).path}.p/")):
                await storage.delete(info.key)
