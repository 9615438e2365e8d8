"""Go's own reader accepts the logs of our pure code, and refuses each kind of tampering."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from indexer.log.checkpoint import Checkpoint
from indexer.log.note import NoteSigner
from indexer.log.tiles import Edge, render_bundle, tiles_of
from indexer.log.tree import leaf_hash
from tests.log.go_reader import MISSING, GoReader, ReaderRefused
from tests.loud import say_loudly

SIGNER = NoteSigner("x07.example/log", bytes(range(32)))
VKEY = str(SIGNER.verifier)


def write_log(directory: Path, entries: list[bytes]) -> Edge:
    """Write every file of a log with these entries."""
    edge, tiles = Edge().grow([leaf_hash(entry) for entry in entries])
    files = {tile.path: body for tile, body in tiles}
    for tile in tiles_of(len(entries), None):
        first = tile.index * 256
        files[tile.path] = render_bundle(entries[first : first + tile.width])
    files["checkpoint"] = SIGNER.sign(Checkpoint("x07.example/log", edge.size, edge.root()).text())
    for path, body in files.items():
        (directory / path).parent.mkdir(parents=True, exist_ok=True)
        (directory / path).write_bytes(body)
    return edge


@pytest.mark.parametrize("size", [0, 1, 255, 256, 257, 1000, 70_000])
def test_go_reads_a_log_of_any_size(
    go_reader: GoReader | None, request: pytest.FixtureRequest, tmp_path: Path, size: int
) -> None:
    """It checks checkpoint, tiles, entries, and proofs that it builds itself."""
    if go_reader is None:
        say_loudly(request, MISSING)
        return
    entries = [f'{{"entry":{index}}}'.encode() for index in range(size)]
    edge = write_log(tmp_path, entries)
    assert go_reader.read(tmp_path, VKEY) == {
        "size": size,
        "root": edge.root().hex(),
        "entries_sha256": hashlib.sha256(b"".join(entries)).hexdigest(),
    }


@pytest.mark.parametrize(
    ("path", "place"),
    [
        ("checkpoint", 18),
        ("tile/0/000", 5),
        ("tile/0/001.p/44", 40),
        ("tile/1/000.p/1", 3),
        ("tile/entries/000", 9),
        ("tile/entries/001.p/44", 9),
    ],
)
def test_go_refuses_a_log_with_a_byte_changed(
    go_reader: GoReader | None, request: pytest.FixtureRequest, tmp_path: Path, path: str, place: int
) -> None:
    """This holds for every file."""
    if go_reader is None:
        say_loudly(request, MISSING)
        return
    write_log(tmp_path, [f"entry {index}".encode() for index in range(300)])
    body = bytearray((tmp_path / path).read_bytes())
    body[place] ^= 1
    (tmp_path / path).write_bytes(body)
    with pytest.raises(ReaderRefused):
        go_reader.read(tmp_path, VKEY)
