"""Reads untrusted tar archives: POSIX ustar, GNU and pax (contract, 4.2).

Only headers are read; the data of an entry stays on disk until it is needed. An entry is accepted only if
Rust's `tar` crate, Go, GNU tar, bsdtar and Python give it the same path, type and bytes. Every other
entry is refused. Python's tarfile is not used, because it treats a damaged header as the end of the
archive, accepts entries that must be refused, and keeps every entry in memory. Fields are parsed in
tar_header.py, pax records in pax.py.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, Final

from shared.archive.extended import Extended
from shared.archive.file_kind import HEAD_BYTES, other_kind
from shared.archive.how_to_pack import AT_THE_ROOT
from shared.archive.tar_header import BLOCK_BYTES, Header, Refused, is_header, parse_header
from shared.publish_errors import BadArchive
from shared.text import rust_quote

MAX_HEADERS: Final = 20_000
MAX_PATH_BYTES: Final = 1024

_NAME_BYTES: Final = 100  # read from the start of a header
_END_BYTES: Final = 2 * BLOCK_BYTES
_CHUNK_BYTES: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Entry:
    """A file or a directory in the archive. path: as written there. offset, size: of its data, bytes."""

    path: str
    is_file: bool
    offset: int
    size: int


class Tar:
    """A tar archive in a file on disk."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._size = file.seek(0, os.SEEK_END)

    def entries(self) -> Iterator[Entry]:
        """Files and directories in archive order. Raises BadArchive at the first fault."""
        extended = Extended()
        offset = 0
        for offset, header in self._headers():
            with self._refusing_at(offset):
                if header.is_extended:
                    extended.claim(header.size)
                    extended.put(header.flag, self._read(offset + BLOCK_BYTES, header.size))
                    continue
                entry = _entry(header, extended.take(), offset + BLOCK_BYTES)
            yield entry
        with self._refusing_at(offset):
            extended.require_taken()

    def read(self, entry: Entry, max_bytes: int) -> bytes:
        """The data of an entry. Raises BadArchive if it has more than max_bytes."""
        if entry.size > max_bytes:
            raise BadArchive(f"{rust_quote(entry.path)} has more than {max_bytes} bytes")
        return self._read(entry.offset, entry.size)

    def head(self, entry: Entry, max_bytes: int) -> bytes:
        """The first bytes of the data of an entry."""
        return self._read(entry.offset, min(entry.size, max_bytes))

    def _headers(self) -> Iterator[tuple[int, Header]]:
        """Each header with the offset of its block, up to the end of the archive."""
        self._require_possible()
        offset = count = 0
        while not _is_zero(block := self._read(offset, BLOCK_BYTES)):
            if count == MAX_HEADERS:
                raise BadArchive(f"the archive has more than {MAX_HEADERS} entries")
            if not is_header(block):
                raise BadArchive(f"no tar header at byte {offset}; an archive must be an uncompressed tar")
            with self._refusing_at(offset):
                header = parse_header(block)
                if offset + BLOCK_BYTES + header.size > self._size:
                    raise Refused("an entry claims more bytes than the archive has")
            yield offset, header
            offset, count = offset + BLOCK_BYTES + header.padded_size, count + 1
        self._require_end(offset)

    def _require_possible(self) -> None:
        """Raise BadArchive if the first bytes are those of another format (gzip, zip, …).

        Some tar readers would treat the file as that format.
        """
        reason = other_kind(self._read(0, min(HEAD_BYTES, self._size)))
        if reason is not None:
            raise BadArchive(reason)

    def _require_end(self, offset: int) -> None:
        """Require two blocks of zeros at the end, followed by nothing but blocks of zeros."""
        if self._size - offset < _END_BYTES or self._size % BLOCK_BYTES:
            raise self._cut_off()
        for start in range(offset, self._size, _CHUNK_BYTES):
            if not _is_zero(self._read(start, min(_CHUNK_BYTES, self._size - start))):
                raise BadArchive("the archive continues after its end")

    def _read(self, offset: int, size: int) -> bytes:
        self._file.seek(offset)
        data = self._file.read(size)
        if len(data) < size:
            raise self._cut_off()
        return data

    @contextmanager
    def _refusing_at(self, offset: int) -> Iterator[None]:
        """Turn a Refused into a BadArchive that names the entry and the offset of its header."""
        try:
            yield
        except Refused as error:
            name = self._read(offset, _NAME_BYTES).partition(b"\0")[0].decode(errors="replace")
            how = f"; {error.how}" if error.how else ""
            raise BadArchive(f"{error} ({rust_quote(name)}, tar header at byte {offset}){how}") from None

    def _cut_off(self) -> BadArchive:
        return BadArchive(f"the archive is cut off after {self._size} bytes")


def _is_zero(data: bytes) -> bool:
    return data.count(0) == len(data)


def _entry(header: Header, records: Mapping[str, str], offset: int) -> Entry:
    """The file or directory of a header. records: of the extended header before it. offset: of its data."""
    if records.get("size", str(header.size)) != str(header.size):
        raise Refused("a pax header gives another size than the entry")
    path = records["path"] if "path" in records else _decode(header.path)
    if len(path.encode()) > MAX_PATH_BYTES:
        raise Refused(f"a path has more than {MAX_PATH_BYTES} bytes")
    if path.rstrip("/").endswith("/."):
        raise Refused("a path ends with `/.`, which some tar readers cannot unpack", AT_THE_ROOT)
    # Python's tarfile decides this by the name in the header, even if a pax record overrides the path.
    is_misread = header.flag == b"\0" and header.path.endswith(b"/")
    if header.is_file and (path.endswith("/") or is_misread):
        raise Refused("a file has a slash after its name, which makes it a directory for some tar readers")
    return Entry(path, header.is_file, offset, header.size)


def _decode(path: bytes) -> str:
    try:
        return path.decode()
    except UnicodeDecodeError:
        raise Refused("a path is not UTF-8") from None
