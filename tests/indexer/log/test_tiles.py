"""Tiles: paths and sizes as c2sp.org/tlog-tiles has them, and an edge that grows like the whole tree."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from indexer.log.invalid import LogInvalid
from indexer.log.tiles import (
    TILE_WIDTH,
    Edge,
    Tile,
    hashes_in,
    levels_of,
    parse_bundle,
    render_bundle,
    tile_for,
    tiles_of,
)
from indexer.log.tree import leaf_hash, perfect_root, root_hash, subtrees_in

indexes = st.integers(0, 10**12)
LEAVES = [leaf_hash(str(index).encode()) for index in range(70_000)]


@pytest.mark.parametrize(
    ("tile", "path"),
    [
        (Tile(0, 0), "tile/0/000"),
        (Tile(0, 1234067), "tile/0/x001/x234/067"),
        (Tile(2, 7, 3), "tile/2/007.p/3"),
        (Tile(None, 1000, 255), "tile/entries/x001/000.p/255"),
    ],
)
def test_a_tile_has_the_path_of_the_standard(tile: Tile, path: str) -> None:
    """The path is parsed back to the tile."""
    assert tile.path == path
    assert Tile.parse(path) == tile


@given(st.none() | st.integers(0, 63), indexes, st.integers(1, TILE_WIDTH))
def test_every_tile_is_read_back_from_its_path(level: int | None, index: int, width: int) -> None:
    """This holds for any position."""
    assert Tile.parse(Tile(level, index, width).path) == Tile(level, index, width)


@pytest.mark.parametrize(
    "path",
    [
        "",
        "checkpoint",
        "tile/0/0",
        "tile/00/000",
        "tile/64/000",
        "tile/0/x000/001",
        "tile/0/001/001",
        "tile/0/000.p/0",
        "tile/0/000.p/256",
        "tile/0/000.p/01",
        "tile/0/000/",
        "tile/entries/000\n",
        "tile/data/000",
        "tile/0/\u0660\u0660\u0660",
    ],
)
def test_no_other_path_is_a_tile(path: str) -> None:
    """Each tile has exactly one path."""
    with pytest.raises(LogInvalid):
        Tile.parse(path)


def test_a_tree_of_70000_has_the_tiles_of_the_example() -> None:
    """The standard's numbers: 273 full tiles and one of 112, one full tile and one of 17, one of 1."""
    assert levels_of(70_000) == 3
    assert [len(list(tiles_of(70_000, level))) for level in range(3)] == [274, 2, 1]
    assert [list(tiles_of(70_000, level))[-1].width for level in range(3)] == [112, 17, 1]
    assert list(tiles_of(70_000, None))[-1] == Tile(None, 273, 112)
    assert list(tiles_of(256, 0)) == [Tile(0, 0)]
    assert list(tiles_of(256, 1)) == [Tile(1, 0, 1)]
    assert levels_of(0) == 0


@given(st.lists(st.integers(0, 700), max_size=6))
def test_an_edge_grows_like_the_whole_tree(steps: list[int]) -> None:
    """With any steps, the root is the same, and each tile that the standard requires for each size exists."""
    edge, known = Edge(), dict[str, bytes]()
    for step in steps:
        edge, tiles = edge.grow(LEAVES[edge.size : edge.size + step])
        known |= {tile.path: body for tile, body in tiles}
        for level in range(levels_of(edge.size)):
            for tile in tiles_of(edge.size, level):
                assert len(hashes_in(known[tile.path])) == tile.width
        assert edge.root() == root_hash(edge.size, subtrees_in(LEAVES))
        for tile, body in edge.partial_tiles():
            assert not tile.is_full
            assert known[tile.path] == body
    assert edge.size == sum(steps)


def test_an_edge_grows_over_three_levels_of_tiles() -> None:
    """65,536 entries fill a tile of level 1."""
    edge, size, known = Edge(), 0, set[Tile]()
    for step in (65_535, 1, 1, 255, 4_208):
        size += step
        edge, tiles = edge.grow(LEAVES[edge.size : size])
        assert edge.root() == root_hash(size, subtrees_in(LEAVES))
        known |= {tile for tile, _ in tiles}
        assert known.issuperset(tile for level in range(levels_of(size)) for tile in tiles_of(size, level))


@given(st.integers(1, 1500), st.data())
def test_a_subtree_stands_in_its_tile(size: int, data: st.DataObject) -> None:
    """Each complete subtree is the root of some hashes in one tile of the tree."""
    height = data.draw(st.integers(0, size.bit_length() - 1))
    index = data.draw(st.integers(0, (size >> height) - 1))
    known = {tile.path: body for tile, body in Edge().grow(LEAVES[:size])[1]}
    tile, start, end = tile_for(height, index, size)
    found = perfect_root(hashes_in(known[tile.path])[start:end])
    assert found == subtrees_in(LEAVES)(height, index)


@given(st.lists(st.binary(max_size=400), max_size=20))
def test_a_bundle_gives_its_entries_back(entries: list[bytes]) -> None:
    """Entries may be empty; a bundle that ends within an entry is refused."""
    body = render_bundle(entries)
    assert parse_bundle(body) == entries
    whole = set(itertools.accumulate((2 + len(entry) for entry in entries), initial=0))
    for end in range(len(body)):
        if end not in whole:
            with pytest.raises(LogInvalid):
                parse_bundle(body[:end])


def test_an_entry_has_at_most_65535_bytes() -> None:
    """Its length is stored in two bytes."""
    assert parse_bundle(render_bundle([b"x" * 65_535])) == [b"x" * 65_535]
    with pytest.raises(ValueError, match="65536 bytes"):
        render_bundle([b"x" * 65_536])


@pytest.mark.parametrize("size_bytes", [0, 31, 33, 257 * 32])
def test_a_tile_of_no_whole_number_of_hashes_is_refused(size_bytes: int) -> None:
    """A tile without hashes or with too many is refused too."""
    with pytest.raises(LogInvalid):
        hashes_in(bytes(size_bytes))
