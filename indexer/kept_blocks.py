"""Compresses large index files piece by piece, and keeps the deflate blocks of pieces that it knows.

The pieces of a file depend on its lines alone, and blocks are found by the digest of their piece, so that a
change compresses the pieces that changed, and equal files have equal variants, whoever makes them.
"""

from __future__ import annotations

import threading
import zlib
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

from indexer.gzip_member import HEADER, Checksum, Trailer, checksum_of, deflated

# A line ends a piece with this chance, so a piece has about 128 lines, some 50 KB. Wherever a line is added,
# the other pieces stay as they are.
ONE_IN: Final = 128
LIMIT_BYTES: Final = 8 << 20


def pieces_of(lines: Iterable[bytes]) -> Iterator[bytes]:
    """The index file of these lines, each of which gets its LF, in pieces."""
    piece: list[bytes] = []
    for line in lines:
        piece += (line, b"\n")
        if zlib.crc32(line) % ONE_IN == 0:
            yield b"".join(piece)
            piece = []
    if piece:
        yield b"".join(piece)


@dataclass(frozen=True, slots=True)
class _Blocks:
    blocks: bytes
    checksum: Checksum


class KeptBlocks:
    """The blocks of the pieces that were asked for last, up to a size. Threads may share it."""

    def __init__(self, limit_bytes: int = LIMIT_BYTES) -> None:
        self._limit_bytes = limit_bytes
        self._kept: OrderedDict[bytes, _Blocks] = OrderedDict()
        self._size_bytes = 0
        self._lock = threading.Lock()

    def member(self, pieces: Iterable[bytes]) -> bytes:
        """One gzip member of these pieces. Equal pieces give equal bytes."""
        trailer, found = Trailer(), [HEADER]
        for piece in pieces:
            each = self._blocks_of(piece)
            found.append(each.blocks)
            trailer.add(each.checksum)
        return b"".join([*found, trailer.end()])

    def _blocks_of(self, piece: bytes) -> _Blocks:
        digest = sha256(piece).digest()
        with self._lock:
            if (known := self._kept.get(digest)) is not None:
                self._kept.move_to_end(digest)
                return known
        made = _Blocks(deflated(piece), checksum_of(piece))
        with self._lock:
            if digest not in self._kept:
                self._kept[digest] = made
                self._size_bytes += len(made.blocks)
            while self._size_bytes > self._limit_bytes:
                _, oldest = self._kept.popitem(last=False)
                self._size_bytes -= len(oldest.blocks)
        return made
