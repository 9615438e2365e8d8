"""Tiles and entry bundles: the static files of a log (c2sp.org/tlog-tiles). Pure.

A tile holds up to 256 hashes of one level. Each hash of a higher level is the hash of a full tile below it.
An entry bundle holds the entries of a tile of level 0.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Self

from indexer.log.invalid import LogInvalid
from indexer.log.tree import EMPTY_ROOT, HASH_BYTES, node_hash, perfect_root
from shared.log_paths import ENTRIES, TILE_PATH

TILE_WIDTH: Final = 256
TILE_HEIGHT: Final = 8
MAX_LEVEL: Final = 63
MAX_ENTRY_BYTES: Final = 0xFFFF
MAX_BUNDLE_BYTES: Final = TILE_WIDTH * (2 + MAX_ENTRY_BYTES)


@dataclass(frozen=True, slots=True, order=True)
class Tile:
    """The place of a tile. level: 0 to 63, None for an entry bundle. width: 1 to 256; 256 is a full tile."""

    level: int | None
    index: int
    width: int = TILE_WIDTH

    @property
    def is_full(self) -> bool:
        """True if the tile has all its hashes or entries."""
        return self.width == TILE_WIDTH

    def is_of(self, size: int) -> bool:
        """True if a tree of this size has the tile."""
        index, width = divmod(size >> TILE_HEIGHT * (self.level or 0), TILE_WIDTH)
        return self.index < index if self.is_full else (self.index, self.width) == (index, width)

    @property
    def full(self) -> Tile:
        """The full tile that will contain this one's hashes when the log has grown."""
        return Tile(self.level, self.index)

    @property
    def path(self) -> str:
        """The path below the log's prefix: `tile/0/x001/x234/067.p/8`."""
        level = ENTRIES if self.level is None else str(self.level)
        partial = "" if self.is_full else f".p/{self.width}"
        return f"tile/{level}/{index_path(self.index)}{partial}"

    @classmethod
    def parse(cls, path: str) -> Self:
        """The tile of a path. Raises LogInvalid for a path that is not a tile's."""
        if (match := TILE_PATH.fullmatch(path)) is None:
            raise LogInvalid(f"{path} is not the path of a tile")
        level = None if match["level"] == ENTRIES else int(match["level"])
        index = int(match["index"].replace("x", "").replace("/", ""))
        tile = cls(level, index, int(match["width"] or TILE_WIDTH))
        if tile.path != path or (level or 0) > MAX_LEVEL:
            raise LogInvalid(f"{path} is not the path of a tile")
        return tile


def index_path(index: int) -> str:
    """A tile's index as path elements of three digits; 1234067 is `x001/x234/067`."""
    last, index = f"{index % 1000:03}", index // 1000
    groups: list[str] = []
    while index:
        groups.append(f"x{index % 1000:03}")
        index //= 1000
    return "/".join([*reversed(groups), last])


def tiles_of(size: int, level: int | None = 0) -> Iterator[Tile]:
    """The tiles of one level in a tree of this size, in order; the last one may be partial."""
    count = size >> TILE_HEIGHT * (level or 0)
    for index in range(count // TILE_WIDTH):
        yield Tile(level, index)
    if count % TILE_WIDTH:
        yield Tile(level, count // TILE_WIDTH, count % TILE_WIDTH)


def levels_of(size: int) -> int:
    """The number of levels of tiles in a tree of this size."""
    return 0 if size == 0 else (size.bit_length() - 1) // TILE_HEIGHT + 1


def tile_for(height: int, index: int, size: int) -> tuple[Tile, int, int]:
    """The place of a complete subtree: its tile, and the range of hashes in it, for a tree of this size."""
    level, rest = divmod(height, TILE_HEIGHT)
    first = index << rest
    tile_index, start = divmod(first, TILE_WIDTH)
    width = min((size >> TILE_HEIGHT * level) - tile_index * TILE_WIDTH, TILE_WIDTH)
    return Tile(level, tile_index, width), start, start + (1 << rest)


def hashes_in(body: bytes) -> list[bytes]:
    """The hashes of a tile. Raises LogInvalid if the body has another length."""
    if not body or len(body) % HASH_BYTES or len(body) > TILE_WIDTH * HASH_BYTES:
        raise LogInvalid(f"a tile has {len(body)} bytes")
    return [body[at : at + HASH_BYTES] for at in range(0, len(body), HASH_BYTES)]


def render_bundle(entries: Iterable[bytes]) -> bytes:
    """An entry bundle: each entry preceded by its length.

    Raises ValueError for an entry of more than 65,535 bytes.
    """
    pieces: list[bytes] = []
    for entry in entries:
        if len(entry) > MAX_ENTRY_BYTES:
            raise ValueError(f"an entry has {len(entry)} bytes; a bundle allows {MAX_ENTRY_BYTES}")
        pieces += (len(entry).to_bytes(2, "big"), entry)
    return b"".join(pieces)


def parse_bundle(body: bytes) -> list[bytes]:
    """The entries of a bundle. Raises LogInvalid if the body ends within an entry."""
    entries: list[bytes] = []
    at = 0
    while at < len(body):
        end = at + 2 + int.from_bytes(body[at : at + 2], "big")
        if at + 2 > len(body) or end > len(body):
            raise LogInvalid("an entry bundle ends within an entry")
        entries.append(body[at + 2 : end])
        at = end
    return entries


@dataclass(frozen=True, slots=True)
class Edge:
    """The right edge of a tree: all that is needed to add entries.

    levels: for each level, the joined hashes of its partial tile; empty if the level's last tile is full.
    """

    size: int = 0
    levels: tuple[bytes, ...] = ()

    def root(self) -> bytes:
        """The root of the tree."""
        found: bytes | None = None
        for body in self.levels:
            hashes = hashes_in(body) if body else []
            while hashes:
                width = len(hashes) & -len(hashes)  # the rightmost complete subtree
                subtree = perfect_root(hashes[-width:])
                found = subtree if found is None else node_hash(subtree, found)
                hashes = hashes[:-width]
        return EMPTY_ROOT if found is None else found

    def partial_tiles(self) -> list[tuple[Tile, bytes]]:
        """The partial tile of each level that has one."""
        return [
            (Tile(level, (self.size >> TILE_HEIGHT * level) // TILE_WIDTH, len(body) // HASH_BYTES), body)
            for level, body in enumerate(self.levels)
            if body
        ]

    def grow(self, leaves: Sequence[bytes]) -> tuple[Edge, list[tuple[Tile, bytes]]]:
        """The edge after adding these leaf hashes, and every new tile, full or partial."""
        new_tiles: list[tuple[Tile, bytes]] = []
        new_levels: list[bytes] = []
        added, level = list(leaves), 0
        while added or level < len(self.levels):
            first = (self.size >> TILE_HEIGHT * level) // TILE_WIDTH
            kept = self.levels[level] if level < len(self.levels) else b""
            tiles, rest = _cut(level, first, kept + b"".join(added), has_grown=bool(added))
            new_tiles += tiles
            new_levels.append(rest)
            added = [perfect_root(hashes_in(body)) for tile, body in tiles if tile.is_full]
            level += 1
        return Edge(self.size + len(leaves), tuple(new_levels)), new_tiles


def _cut(level: int, first: int, hashes: bytes, *, has_grown: bool) -> tuple[list[tuple[Tile, bytes]], bytes]:
    """The tiles of a level's hashes, starting with tile `first`, and the hashes of the partial one."""
    if not has_grown:
        return [], hashes
    tiles: list[tuple[Tile, bytes]] = []
    step = TILE_WIDTH * HASH_BYTES
    for number, at in enumerate(range(0, len(hashes), step)):
        body = hashes[at : at + step]
        tiles.append((Tile(level, first + number, len(body) // HASH_BYTES), body))
    rest = len(hashes) % step
    return tiles, hashes[len(hashes) - rest :] if rest else b""
