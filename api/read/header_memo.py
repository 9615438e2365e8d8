"""Interprets header blocks for the fast path and remembers the result for blocks that repeat.

Clients of one kind send the same block with every request. The memo's key is a keyed 64-bit hash of the
block. Apart from the hash, it keeps only names of headers and the values of Accept-Encoding and
If-None-Match: no token, no cookie. The hash key is random for each process, so that nobody can make two
blocks collide; by chance one new block in 2^50 does.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from math import inf
from typing import Final

from api.read.access import Access, Public
from api.read.edge import EDGE
from api.read.negotiation import preferred_codings
from shared.encodings import Coding
from shared.http.conditional import is_not_modified
from shared.http.request_head import HOST_BYTES, MAX_HEADERS

MAX_BLOCK_BYTES: Final = 8192
# A few megabytes at most. A full memo is emptied, which costs less than keeping an order of use.
MAX_REMEMBERED: Final = 16_384
MAX_NAMES: Final = 1024
# The total length of all values that are kept for a block.
MAX_VALUES_CHARS: Final = 256

_PRINTABLE: Final = bytes(range(0x20, 0x7F))
_TOKEN: Final = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,64}")


# The kinds of header lines. They are plain integers, because looking up an Enum member takes longer than
# the rest of a line.
NOTHING: Final = 1
HOST: Final = 2
IF_NONE_MATCH: Final = 3
ACCEPT_ENCODING: Final = 4
CONNECTION: Final = 5
LONG_WAY: Final = 6
AUTHORIZATION: Final = 7

# Framing, connection options, ranges, the edge: requests with one of these go to the application.
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
    EDGE,
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
    """The request that a block expresses. codings: best first. if_none_match: the value of each line.

    closes: the client will send no other request on the connection. until: monotonic time until which the
    client may read.
    """

    codings: tuple[Coding, ...]
    if_none_match: tuple[str, ...] = ()
    closes: bool = False
    until: float = inf
    _etag: str = ""
    _has_it: bool = False

    def has(self, etag: str) -> bool:
        """True if the reader has the body with this ETag. The last result is remembered."""
        if etag is not self._etag:
            self._etag, self._has_it = etag, is_not_modified(self.if_none_match, etag)
        return self._has_it


class HeaderMemo:
    """Reads header blocks. takes_origin: False leaves requests with an Origin to the application (CORS).

    access: who may read, everybody if absent. A block is judged once for each state of the list, and its
    token is not kept.
    """

    def __init__(self, *, takes_origin: bool, access: Access | None = None) -> None:
        self._secret = os.urandom(16)
        self._wishes: dict[int, Wish | None] = {}
        self._plain_wishes: dict[tuple[str, ...], Wish] = {}
        self._kinds = dict(KINDS) if takes_origin else KINDS | {b"origin": LONG_WAY}
        self._access = access or Public()
        if self._access.needs_token:
            self._kinds[b"authorization"] = AUTHORIZATION
            self._access.when_changed(self._wishes.clear)

    def read(self, block: bytes) -> Wish | None:
        """The wish that the block expresses; None if the application must answer.

        block: the bytes from the end of the request line to the end of what was received.
        """
        key = hash(self._secret + block)
        if key in self._wishes:  # try/except would add a tenth to the cost of a new block
            return self._wishes[key]
        wish = self._parse(block)
        if len(self._wishes) >= MAX_REMEMBERED:
            self._wishes.clear()
        self._wishes[key] = wish
        return wish

    def _parse(self, block: bytes) -> Wish | None:
        """Parse a block. Optimised for blocks that never repeat: few operations in C, one lookup per name."""
        hosts, tags, encodings, credentials, closes = 0, [], [], [], False
        kinds, lines = self._kinds, _lines_of(block)
        for line in lines:
            name, colon, value = line.partition(b":")
            kind = kinds[name] if name in kinds else self._kind_of(name)
            if not colon:
                return None
            if kind == NOTHING:
                continue
            if kind == HOST:
                hosts += 1
                if value.strip(b" ").translate(None, HOST_BYTES):
                    return None
            elif kind == ACCEPT_ENCODING:
                encodings.append(value.decode("ascii"))
            elif kind == IF_NONE_MATCH:
                tags.append(value.decode("ascii"))
            elif kind == LONG_WAY:
                return None
            elif kind == AUTHORIZATION:
                credentials.append(value)
            elif (option := value.strip(b" ").lower()) == b"close":
                closes = True
            elif option != b"keep-alive":
                return None
        return self._wish(tuple(encodings), tuple(tags), credentials, closes) if hosts == 1 else None

    def _wish(
        self, encodings: tuple[str, ...], tags: tuple[str, ...], credentials: list[bytes], closes: bool
    ) -> Wish | None:
        """The wish with these values of headers; None if they are too long, or the client may not read."""
        until = self._access.until(credentials)
        if until is None or len("".join(encodings + tags)) > MAX_VALUES_CHARS:
            return None
        plain = self._plain(encodings)
        is_plain = not tags and not closes and until == inf
        return plain if is_plain else Wish(plain.codings, tags, closes, until)

    def _kind_of(self, name: bytes) -> int:
        """The kind of a name in this spelling, remembered. An invalid name goes to the application."""
        if not _TOKEN.fullmatch(name):
            return LONG_WAY
        kind = self._kinds.get(name.lower(), NOTHING)
        if len(self._kinds) < MAX_NAMES:
            self._kinds[name] = kind
        return kind

    def _plain(self, encodings: tuple[str, ...]) -> Wish:
        """The shared wish of all blocks with nothing but these encodings; readers send very few values."""
        wish = self._plain_wishes.get(encodings)
        if wish is None:
            if len(self._plain_wishes) >= MAX_NAMES:
                self._plain_wishes.clear()
            wish = self._plain_wishes[encodings] = Wish(preferred_codings(encodings))
        return wish


def _lines_of(block: bytes) -> list[bytes]:
    """The header lines of a block; none if it is too long, ends early or holds control characters."""
    lines = block.split(b"\r\n")
    is_plain = block.translate(None, _PRINTABLE) == b"\r\n" * (len(lines) - 1)
    is_short = len(block) <= MAX_BLOCK_BYTES and len(lines) - 2 <= MAX_HEADERS
    return lines[:-2] if is_plain and is_short and lines[-2:] == [b"", b""] else []
