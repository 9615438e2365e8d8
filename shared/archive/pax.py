"""Parses pax extended headers (POSIX, pax interchange format), and accepts only a short list of keys.

Unknown records are refused rather than ignored, because a reader that knows them may unpack another path or
other data. Values with a line feed are refused, because Rust's `tar` splits records at line feeds.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from shared.archive.how_to_pack import HOW_TO_PACK
from shared.archive.tar_header import Refused
from shared.text import rust_quote

_RECORD: Final = re.compile(rb"([1-9][0-9]{0,4}) ([^=\n]*)=")
# Text without control characters, NUL, or blanks at its start or end.
_TEXT: Final = re.compile(r"(?! )[^\x00-\x1f\x7f]+(?<! )")
_NUMBER: Final = re.compile(r"0|[1-9][0-9]{0,9}")
_MAX_ID: Final = 2**32 - 1
_SECONDS: Final = re.compile(r"(0|[1-9][0-9]{0,10})(\.[0-9]{1,20})?")


def _is_id(text: str) -> bool:
    return _NUMBER.fullmatch(text) is not None and int(text) <= _MAX_ID


# The check of each key's value.
_VALUES: Final[dict[str, Callable[[str], object]]] = {
    "path": _TEXT.fullmatch,
    "size": _NUMBER.fullmatch,
    "mtime": _SECONDS.fullmatch,
    "atime": _SECONDS.fullmatch,
    "ctime": _SECONDS.fullmatch,
    "uid": _is_id,
    "gid": _is_id,
    "uname": _TEXT.fullmatch,
    "gname": _TEXT.fullmatch,
}


def parse_pax(data: bytes) -> dict[str, str]:
    """The records by key, at least one. Raises Refused, which names the key if it is known."""
    records: dict[str, str] = {}
    position = 0
    while position < len(data):
        match = _RECORD.match(data, position)
        end = position + int(match[1]) if match else 0
        if match is None or end <= match.end() or data[end - 1 : end] != b"\n":
            raise Refused("a pax header is malformed")
        key = match[2].decode(errors="replace")
        if key in records:
            raise Refused(f"a pax header repeats {rust_quote(key)}")
        records[key] = _value(key, data[match.end() : end - 1])
        position = end
    if not records:
        raise Refused("a pax header is empty")
    return records


def _value(key: str, value: bytes) -> str:
    if key not in _VALUES:
        raise Refused(f"a pax header has {rust_quote(key)}, which not every reader ignores", HOW_TO_PACK)
    try:
        text = value.decode()
    except UnicodeDecodeError:
        raise Refused(f"a pax header has a {key} that is not UTF-8", HOW_TO_PACK) from None
    if not _VALUES[key](text):
        reason = f"a pax header has a {key} that readers interpret differently: {rust_quote(text)}"
        raise Refused(reason, HOW_TO_PACK)
    return text
