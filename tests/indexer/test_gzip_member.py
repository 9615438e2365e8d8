"""Pieces that were compressed apart make one gzip member."""

from __future__ import annotations

import gzip
import zlib

from hypothesis import given
from hypothesis import strategies as st

from indexer.gzip_member import HEADER, Trailer, checksum_of, deflated


def member_of(pieces: list[bytes]) -> bytes:
    """The member of these pieces."""
    trailer = Trailer()
    for piece in pieces:
        trailer.add(checksum_of(piece))
    return HEADER + b"".join(map(deflated, pieces)) + trailer.end()


@given(pieces=st.lists(st.binary(max_size=2000), max_size=6))
def test_a_client_that_reads_one_member_gets_every_piece(pieces: list[bytes]) -> None:
    """Many clients stop after the first member, so nothing may follow it."""
    decoder = zlib.decompressobj(16 + zlib.MAX_WBITS)
    assert decoder.decompress(member_of(pieces)) + decoder.flush() == b"".join(pieces)
    assert decoder.eof
    assert decoder.unused_data == b""


def test_pieces_can_be_joined_in_any_order() -> None:
    """No piece refers to what comes before it."""
    piece, other = b"the same words again and again " * 50, b"the same words and others " * 50
    for pieces in ([piece, other], [other, piece], [piece, piece, other]):
        assert gzip.decompress(member_of(pieces)) == b"".join(pieces)
