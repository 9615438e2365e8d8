"""What a header block means to the fast path, remembered for blocks that come again and again.

Command lines of one kind send the same block with every request. The memo is keyed by a keyed 64-bit
hash of the block; besides, only names of headers and the values of Accept-Encoding and If-None-Match are
kept: no token, no cookie. The key is random for the process; whoever does not know it cannot make two
blocks collide, and by chance one new block in 2^50 does.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import Final

from api.read.negotiation import preferred_codings
from shared.encodings import Coding
from shared.http.conditional import is_not_modified

MAX_BLOCK_BYTES: Final = 8192
# A few megabytes at most. When it is full it is emptied, which costs less than to keep an order.
MAX_REMEMBERED: Final = 16_384
MAX_NAMES: Final = 1024
# Of all values that are kept of a block, together.
MAX_VALUES_CHARS: Final = 256

_PRINTABLE: Final = bytes(range(0x20, 0x7F))
_TOKEN: Final = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,64}")


# What a header line is to the fast path. Plain numbers: members of an Enum take longer to look up than
# the rest of a line.
NOTHING: Final = 1
HOST: Final = 2
IF_NONE_MATCH: Final = 3
ACCEPT_ENCODING: Final = 4
CONNECTION: Final = 5
LONG_WAY: Final = 6

# Framing, connection options, ranges: whatever names one of these goes the long way.
_OF_THE_LONG_WAY: Final = (
    b"content-length",
    b"transfer-encoding",
    b"te",
    b"trailer",
    b"upgrade",
    b"http2-settings",
    b"expect",
    b"proxy-connection",
    b"keep-alive",
    b"range",
    b"if-range",
)
KINDS: Final = {
    b"host": HOST,
    b"if-none-match": IF_NONE_MATCH,
    b"accept-encoding": ACCEPT_ENCODING,
    b"connection": CONNECTION,
    **dict.fromkeys(_OF_THE_LONG_WAY, LONG_WAY),
}


@dataclass(slots=True, eq=False)
class Wish:
    """What a block asks for. codings: best first. if_none_match: the value of each line.

    closes: the connection is not for another request.
    """

    codings: tuple[Coding, ...]
    if_none_match: tuple[str, ...] = ()
    closes: bool = False
    _etag: str = ""
    _has_it: bool = False

    def has(self, etag: str) -> bool:
        """True if the reader has the body of this validator; the last outcome is remembered."""
        if etag is not self._etag:
            self._etag, self._has_it = etag, is_not_modified(self.if_none_match, etag)
        return self._has_it


class HeaderMemo:
    """Reads header blocks. takes_origin: False sends requests with an Origin the long way (CORS is on)."""

    def __init__(self, *, takes_origin: bool) -> None:
        self._secret = os.urandom(16)
        self._wishes: dict[int, Wish | None] = {}
        self._plain_wishes: dict[tuple[str, ...], Wish] = {}
        self._kinds = dict(KINDS) if takes_origin else KINDS | {b"origin": LONG_WAY}

    def read(self, block: bytes) -> Wish | None:
        """What the block asks for; None: the long way must answer.

        block: everything behind the request line, to the end of what was received.
        """
        key = hash(self._secret + block)
        if key in self._wishes:  # an exception would cost a tenth of a new block
            return self._wishes[key]
        wish = self._parse(block)
        if len(self._wishes) >= MAX_REMEMBERED:
            self._wishes.clear()
        self._wishes[key] = wish
        return wish

    def _parse(self, block: bytes) -> Wish | None:
        """Written for blocks that never come again: a few operations in C, then one look at each name."""
        lines = block.split(b"\r\n")
        is_plain = block.translate(None, _PRINTABLE) == b"\r\n" * (len(lines) - 1)
        if not is_plain or len(block) > MAX_BLOCK_BYTES or lines[-2:] != [b"", b""]:
            return None
        hosts, kept, tags, encodings, closes = 0, 0, [], [], False
        kinds = self._kinds
        for line in lines[:-2]:
            name, colon, value = line.partition(b":")
            kind = kinds[name] if name in kinds else self._kind_of(name)
            if not colon:
                return None
            if kind == NOTHING:
                continue
            if kind == HOST:
                hosts += 1
            elif kind == ACCEPT_ENCODING:
                kept += len(value)
                encodings.append(value.decode("ascii"))
            elif kind == IF_NONE_MATCH:
                kept += len(value)
                tags.append(value.decode("ascii"))
            elif kind == LONG_WAY:
                return None
            elif (option := value.strip(b" ").lower()) == b"close":
                closes = True
            elif option != b"keep-alive":
                return None
        if hosts != 1 or kept > MAX_VALUES_CHARS:
            return None
        plain = self._plain(tuple(encodings))
        return Wish(plain.codings, tuple(tags), closes) if tags or closes else plain

    def _kind_of(self, name: bytes) -> int:
        """The kind of a name as it is spelt here, remembered; of the long way if it is not a name."""
        if not _TOKEN.fullmatch(name):
            return LONG_WAY
        kind = self._kinds.get(name.lower(), NOTHING)
        if len(self._kinds) < MAX_NAMES:
            self._kinds[name] = kind
        return kind

    def _plain(self, encodings: tuple[str, ...]) -> Wish:
        """The one wish of all blocks that only say what they accept; readers send very few values."""
        wish = self._plain_wishes.get(encodings)
        if wish is None:
            if len(self._plain_wishes) >= MAX_NAMES:
                self._plain_wishes.clear()
            wish = self._plain_wishes[encodings] = Wish(preferred_codings(encodings))
        return wish
