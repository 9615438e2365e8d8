"""Reading a tar archive that nobody has vouched for: POSIX ustar, GNU and pax (contract, 4.2).

Only headers are read, the data of an entry stays on disk until it is asked for. Where tar readers
disagree, so that one program could see other files than the next, the archive is refused. Why not
tarfile: it takes a damaged header for the end of the archive, honours what should be refused
(sparse files, a size in a pax header, global paths), and keeps every entry.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO, Final

from shared.errors import BadArchive
from shared.text import rust_quote

BLOCK_BYTES: Final = 512
MAX_HEADERS: Final = 20_000
MAX_PATH_BYTES: Final = 1024
MAX_EXTENDED_BYTES: Final = 64 * 1024  # one pax header or GNU long name

_END_BYTES: Final = 2 * BLOCK_BYTES
_CHUNK_BYTES: Final = 1 << 20

_FILE_FLAGS: Final = (b"0", b"\0")
_DIRECTORY_FLAG: Final = b"5"
_EXTENDED_FLAGS: Final = (b"x", b"L", b"g")
_USTAR: Final = b"ustar\00000"  # magic and version
_GNU: Final = b"ustar  \0"
_REFUSED_FLAGS: Final = {
    b"1": "a hard link",
    b"2": "a symbolic link",
    b"3": "a character device",
    b"4": "a block device",
    b"6": "a FIFO",
    b"K": "a link with a long target",
    b"S": "a sparse file",
}

# Mode, owner, group, time, device: not used here, but a damaged one ends the archive for some readers.
_OTHER_NUMBERS: Final = ((100, 108), (108, 116), (116, 124), (136, 148), (329, 337), (337, 345))
_OCTAL = re.compile(rb" *([0-7]+)[ \0]*")
_PAX_RECORD = re.compile(rb"([1-9][0-9]{0,5}) ([^=\0]+)=")
_PAX_NAMES_ENTRY: Final = frozenset({"path", "size"})


@dataclass(frozen=True, slots=True)
class Entry:
    """A file or a directory of the archive. path: as written there. offset, size: of its data, bytes."""

    path: str
    is_file: bool
    offset: int
    size: int


@dataclass(frozen=True, slots=True)
class _Header:
    """A header block: what it says, unchecked but for its checksum. flag: the one byte of the type."""

    flag: bytes
    path: bytes
    offset: int
    size: int

    @property
    def next_offset(self) -> int:
        return self.offset + -(-self.size // BLOCK_BYTES) * BLOCK_BYTES


class Tar:
    """A tar archive in a file on disk."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._size = file.seek(0, os.SEEK_END)

    def entries(self) -> Iterator[Entry]:
        """Files and directories in archive order. Raises BadArchive where the archive goes wrong."""
        extended: dict[str, str] = {}
        is_extended = False
        for header in self._headers():
            match header.flag:
                case b"g":
                    self._ignore_global(header)
                case b"x" | b"L":
                    if is_extended:
                        raise _bad("an entry has two extended headers", header)
                    is_extended, extended = True, self._extended(header)
                case _:
                    yield _entry(header, extended)
                    is_extended, extended = False, {}
        if is_extended:
            raise BadArchive("the last extended header has no entry")

    def read(self, entry: Entry, max_bytes: int) -> bytes:
        """The data of an entry. Raises BadArchive if it has more than max_bytes."""
        if entry.size > max_bytes:
            raise BadArchive(f"{rust_quote(entry.path)} has more than {max_bytes} bytes")
        return self._read(entry.offset, entry.size)

    def _headers(self) -> Iterator[_Header]:
        offset = count = 0
        while not _is_zero(block := self._read(offset, BLOCK_BYTES)):
            if count == MAX_HEADERS:
                raise BadArchive(f"the archive has more than {MAX_HEADERS} entries")
            header = _parse_header(block, offset)
            if header.offset + header.size > self._size:
                raise _bad("an entry claims more bytes than the archive has", header)
            yield header
            offset, count = header.next_offset, count + 1
        self._require_end(offset)

    def _require_end(self, offset: int) -> None:
        """Two blocks of zeros, and nothing but zeros after them."""
        if self._size - offset < _END_BYTES:
            raise self._cut_off()
        for start in range(offset, self._size, _CHUNK_BYTES):
            if not _is_zero(self._read(start, min(_CHUNK_BYTES, self._size - start))):
                raise BadArchive("the archive goes on after its end")

    def _read(self, offset: int, size: int) -> bytes:
        self._file.seek(offset)
        data = self._file.read(size)
        if len(data) < size:
            raise self._cut_off()
        return data

    def _cut_off(self) -> BadArchive:
        return BadArchive(f"the archive is cut off after {self._size} bytes")

    def _extended(self, header: _Header) -> dict[str, str]:
        """What an extended header says of the next entry: `path` or `size`, if anything."""
        data = self._extended_data(header)
        if header.flag == b"L":
            return {"path": _decode(data.rstrip(b"\0"), header)}
        return _parse_pax(data, header)

    def _ignore_global(self, header: _Header) -> None:
        if _parse_pax(self._extended_data(header), header):
            raise _bad("a global pax header sets a path or a size", header)

    def _extended_data(self, header: _Header) -> bytes:
        if header.size > MAX_EXTENDED_BYTES:
            raise _bad(f"an extended header has more than {MAX_EXTENDED_BYTES} bytes", header)
        return self._read(header.offset, header.size)


def _is_zero(data: bytes) -> bool:
    return data.count(0) == len(data)


def _parse_header(block: bytes, offset: int) -> _Header:
    """The header in a block; offset: where the block starts."""
    checksum = sum(block) - sum(block[148:156]) + 8 * ord(" ")
    if _parse_number(block[148:156]) != checksum:
        raise BadArchive(f"no tar header at byte {offset}; an archive must be an uncompressed tar")
    size = _parse_number(block[124:136])
    if size is None:
        raise BadArchive(f"the tar header at byte {offset} has no valid size")
    path = block[:100].partition(b"\0")[0]
    if not all(_is_number_or_blank(block[start:end]) for start, end in _OTHER_NUMBERS):
        raise BadArchive(f"the tar header at byte {offset} has a number that is none")
    prefix = block[345:500].partition(b"\0")[0]
    if block[156:157] in _EXTENDED_FLAGS and block[257:265] not in (_USTAR, _GNU):
        raise BadArchive(f"the tar header at byte {offset} extends the next one for some readers only")
    if prefix and block[257:265] != _USTAR:
        raise BadArchive(f"the tar header at byte {offset} has a prefix that only some readers use")
    return _Header(
        flag=block[156:157],
        path=prefix + b"/" + path if prefix else path,
        offset=offset + BLOCK_BYTES,
        size=size,
    )


def _parse_number(field: bytes) -> int | None:
    """A number of 0 or more: octal digits, or base 256 (GNU) when the first bit is set.

    A negative number in base 256 comes out as one that no archive is large enough for.
    """
    if field[0] & 0x80:
        return int.from_bytes(bytes([field[0] & 0x7F]) + field[1:])
    octal = _OCTAL.fullmatch(field)
    return int(octal[1], 8) if octal else None


def _is_number_or_blank(field: bytes) -> bool:
    return not field.strip(b" \0") or _parse_number(field) is not None


def _entry(header: _Header, extended: dict[str, str]) -> Entry:
    """The file or directory of a header, with what the extended header before it says."""
    is_file = header.flag in _FILE_FLAGS
    if not is_file and header.flag != _DIRECTORY_FLAG:
        kind = _REFUSED_FLAGS.get(header.flag, "an entry of an unknown type")
        raise _bad(f"the archive has {kind}; only files and directories are allowed", header)
    if not is_file and header.size:
        raise _bad("a directory has data", header)
    if extended.get("size", str(header.size)) != str(header.size):
        raise _bad("a pax header gives another size than the entry", header)
    path = extended["path"] if "path" in extended else _decode(header.path, header)
    return Entry(path, is_file, header.offset, header.size)


def _parse_pax(data: bytes, header: _Header) -> dict[str, str]:
    """The records of a pax header that change an entry; all others are checked for form only."""
    records: dict[str, str] = {}
    position = 0
    while position < len(data):
        match = _PAX_RECORD.match(data, position)
        end = position + int(match[1]) if match else 0
        if match is None or end <= match.end() or data[end - 1 : end] != b"\n":
            raise _bad("a pax header is malformed", header)
        key = _decode(match[2], header)
        if key.startswith("GNU.sparse."):
            raise _bad("the archive has a sparse file; only files and directories are allowed", header)
        if key in records:
            raise _bad(f"a pax header repeats {key}", header)
        if key in _PAX_NAMES_ENTRY:
            records[key] = _decode(data[match.end() : end - 1], header)
        position = end
    return records


def _decode(name: bytes, header: _Header) -> str:
    """A name as text. Raises BadArchive if it is too long, or not UTF-8, or has a NUL in it."""
    if len(name) > MAX_PATH_BYTES:
        raise _bad(f"a path has more than {MAX_PATH_BYTES} bytes", header)
    try:
        text = name.decode()
    except UnicodeDecodeError:
        raise _bad("a path is not UTF-8", header) from None
    if "\0" in text:
        raise _bad("a path has a NUL in it", header)
    return text


def _bad(reason: str, header: _Header) -> BadArchive:
    return BadArchive(f"{reason} (tar header at byte {header.offset - BLOCK_BYTES})")
