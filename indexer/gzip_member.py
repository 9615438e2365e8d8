"""One gzip member (RFC 1952) made from pieces that were compressed apart. Pure.

Each piece is a run of deflate blocks (RFC 1951) that ends with a full flush: at a whole byte, and nothing
that follows refers to it. Pieces can therefore be joined in any order, and every client reads one member.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import Final

from indexer.crc32 import combined, shift_of

LEVEL: Final = 6
# Deflate; no name, no time, no hint about speed; made on Unix: what zlib writes.
HEADER: Final = bytes((0x1F, 0x8B, 8, 0, 0, 0, 0, 0, 0, 3))
# An empty block, the last one.
LAST_BLOCK: Final = bytes((3, 0))
SIZE_MODULUS: Final = 1 << 32


@dataclass(frozen=True, slots=True)
class Checksum:
    """CRC-32 and length of a piece; shift: of its length, see crc32.py."""

    crc: int
    size_bytes: int
    shift: int


def checksum_of(body: bytes) -> Checksum:
    """The checksum of a piece."""
    return Checksum(zlib.crc32(body), len(body), shift_of(len(body)))


def deflated(body: bytes) -> bytes:
    """The deflate blocks of a piece. Equal pieces give equal bytes."""
    compressor = zlib.compressobj(LEVEL, zlib.DEFLATED, -zlib.MAX_WBITS)
    return compressor.compress(body) + compressor.flush(zlib.Z_FULL_FLUSH)


class Trailer:
    """Counts the pieces of a member."""

    def __init__(self) -> None:
        self._crc = 0
        self.size_bytes = 0

    def add(self, piece: Checksum) -> None:
        """Count the next piece."""
        self._crc = combined(self._crc, piece.crc, piece.shift)
        self.size_bytes += piece.size_bytes

    def end(self) -> bytes:
        """What follows the last piece: the last block, CRC-32 and length of all pieces."""
        size = self.size_bytes % SIZE_MODULUS
        return LAST_BLOCK + self._crc.to_bytes(4, "little") + size.to_bytes(4, "little")
