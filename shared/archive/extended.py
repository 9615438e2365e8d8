"""Collects extended headers (pax and GNU long names) for the entry that follows them, within limits."""

from __future__ import annotations

import re
from typing import Final

from shared.archive.how_to_pack import HOW_TO_PACK
from shared.archive.pax import parse_pax
from shared.archive.tar_header import PAX_FLAG, Refused

MAX_HEADER_BYTES: Final = 8 << 10  # of one extended header
# Limits per archive: more than GNU tar writes with --format=posix for the maximum number of files.
MAX_BYTES: Final = 4 << 20
MAX_RECORDS: Final = 50_000

# A GNU long name ends with one NUL.
_LONG_NAME: Final = re.compile(rb"([^\x00-\x1f\x7f]+)\0")


class Extended:
    """The records for the next entry, by pax key, counted against the limits."""

    def __init__(self) -> None:
        self._records: dict[str, str] | None = None
        self._bytes = 0
        self._count = 0

    def claim(self, size: int) -> None:
        """Count an extended header before it is read. size: in bytes. Raises Refused."""
        self._bytes += size
        if size > MAX_HEADER_BYTES:
            raise Refused(f"an extended header has more than {MAX_HEADER_BYTES} bytes", HOW_TO_PACK)
        if self._bytes > MAX_BYTES:
            raise Refused(f"the extended headers have more than {MAX_BYTES} bytes together", HOW_TO_PACK)

    def put(self, flag: bytes, data: bytes) -> None:
        """Add the data of an extended header for the next entry. Raises Refused."""
        if self._records is not None:
            raise Refused("an entry has two extended headers")
        self._records = parse_pax(data) if flag == PAX_FLAG else {"path": _long_name(data)}
        self._count += len(self._records)
        if self._count > MAX_RECORDS:
            raise Refused(f"the extended headers have more than {MAX_RECORDS} records", HOW_TO_PACK)

    def take(self) -> dict[str, str]:
        """Return the records for the present entry, and forget them."""
        records, self._records = self._records or {}, None
        return records

    def require_taken(self) -> None:
        """Raise Refused if the archive ends after an extended header."""
        if self._records is not None:
            raise Refused("the last extended header has no entry")


def _long_name(data: bytes) -> str:
    match = _LONG_NAME.fullmatch(data)
    if match is None:
        raise Refused("a GNU long name is not a name without control characters and one NUL behind it")
    try:
        return match[1].decode()
    except UnicodeDecodeError:
        raise Refused("a GNU long name is not UTF-8") from None
