"""Large index files are compressed in pieces, of which those that are known are not compressed again."""

from __future__ import annotations

import gzip
import zlib
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from indexer import kept_blocks
from indexer.kept_blocks import KeptBlocks, pieces_of


def lines_of(count: int) -> list[bytes]:
    """Lines that differ."""
    return [sha256(b"%d" % number).hexdigest().encode() * 3 for number in range(count)]


@given(st.lists(st.binary(max_size=40).filter(lambda line: b"\n" not in line), max_size=400))
def test_every_client_gets_the_lines(lines: list[bytes]) -> None:
    """The variant is one member, with nothing behind it, and the same from a memory that knows nothing."""
    kept = KeptBlocks()
    member = kept.member(pieces_of(lines))
    decoder = zlib.decompressobj(16 + zlib.MAX_WBITS)
    body = b"".join(line + b"\n" for line in lines)
    assert decoder.decompress(member) + decoder.flush() == body
    assert (decoder.eof, decoder.unused_data) == (True, b"")
    assert kept.member(pieces_of(lines)) == KeptBlocks().member(pieces_of(lines)) == member


@pytest.mark.parametrize("place", [0, 1000, 2000])
def test_a_further_line_compresses_one_piece(place: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wherever it is: a version of an older series comes in the middle."""
    kept, lines = KeptBlocks(), lines_of(2000)
    kept.member(pieces_of(lines))
    good, compressed = kept_blocks.deflated, list[bytes]()

    def deflated(piece: bytes) -> bytes:
        compressed.append(piece)
        return good(piece)

    monkeypatch.setattr(kept_blocks, "deflated", deflated)
    more = [*lines[:place], b"one more", *lines[place:]]
    assert gzip.decompress(kept.member(pieces_of(more))) == b"".join(line + b"\n" for line in more)
    assert len(compressed) == 1
    assert len(list(pieces_of(more))) > 5


def test_the_memory_is_bounded() -> None:
    """Pieces that were not asked for lately are compressed again."""
    kept = KeptBlocks(limit_bytes=20_000)
    for number in range(50):
        kept.member(pieces_of([*lines_of(200), b"%d" % number]))
        assert sum(len(each.blocks) for each in kept._kept.values()) <= 20_000
