"""Evaluates If-None-Match, Range and If-Range (RFC 9110, 13 and 14): pure functions over header values."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from shared.errors import RangeNotSatisfiable

_ENTITY_TAG: Final = re.compile(r'(?:W/)?"[\x21\x23-\x7e\x80-\xff]*"')
_PROXYS_SUFFIX: Final = re.compile(r'(?:[-;](?:gzip|br|zstd|deflate)|--gzip)"$')
_ONE_RANGE: Final = re.compile(
    r"bytes=[ \t]*(?P<first>[0-9]{0,18})-(?P<last>[0-9]{0,18})[ \t]*", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class ByteRange:
    """Bytes start (inclusive) to end (exclusive) of a body of size_bytes."""

    start: int
    end: int
    size_bytes: int

    @property
    def content_range(self) -> str:
        """Value of Content-Range (RFC 9110, 14.4)."""
        return f"bytes {self.start}-{self.end - 1}/{self.size_bytes}"


def is_not_modified(if_none_match: Iterable[str], etag: str) -> bool:
    """True if a GET may be answered 304 (RFC 9110, 13.1.2: weak comparison).

    if_none_match: the value of each header line, `*` or a list. etag: quoted. Never raises: junk
    matches nothing.
    """
    for value in if_none_match:
        if value.strip() == "*":
            return True
        if any(_as_sent(tag.removeprefix("W/")) == etag for tag in _ENTITY_TAG.findall(value)):
            return True
    return False


def _as_sent(tag: str) -> str:
    """The tag without what a proxy that compresses put into it: Apache's `-gzip` or `-br`, Jetty's too.

    No tag of ours ends like that.
    """
    return _PROXYS_SUFFIX.sub('"', tag)


def requested_range(value: str | None, if_range: str | None, etag: str, size_bytes: int) -> ByteRange | None:
    """The one range to answer with 206; None: answer the whole body with 200 (RFC 9110, 14.2).

    value: of Range, if_range: of If-Range, None when absent. etag: quoted, strong. Unknown units, several
    ranges and malformed values (positions of 19 digits and more among them) are ignored, as is a range
    whose If-Range does not name this very body (strong comparison; dates never match, for no
    Last-Modified is sent). Raises RangeNotSatisfiable when no byte of the range exists.
    """
    match = _ONE_RANGE.fullmatch(value) if value is not None else None
    if match is None or (if_range is not None and if_range.strip() != etag):
        return None
    first, last = match["first"], match["last"]
    if first:
        start, end = int(first), min(int(last) + 1, size_bytes) if last else size_bytes
        is_valid = not last or int(first) <= int(last)
    else:
        start, end = max(size_bytes - int(last or 0), 0), size_bytes
        is_valid = bool(last)
    if not is_valid:
        return None
    if start >= size_bytes:
        raise RangeNotSatisfiable(headers={"content-range": f"bytes */{size_bytes}"})
    return ByteRange(start, end, size_bytes)
