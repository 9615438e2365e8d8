"""Lists the files of an archive with their sizes, and with the text of those that are text, within limits.

Blocking. Archives of older releases may have a form that is not accepted today; those are not listed.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import IO, Final

from shared.archive.tar import Entry, Tar
from shared.publish_errors import BadArchive

MAX_FILES: Final = 1000
MAX_TEXT_BYTES: Final = 32 << 10
"""The most that is shown of one file."""
MAX_TEXTS_BYTES: Final = 256 << 10
"""The most that is shown of all files together."""

_BINARY: Final = re.compile("[\x00-\x08\x0b\x0e-\x1f\x7f]")


@dataclass(frozen=True, slots=True)
class ArchiveFile:
    """A file. text: its beginning, None if it is not text or there is no room. is_whole: all of it."""

    path: str
    size_bytes: int
    text: str | None = None
    is_whole: bool = True


@dataclass(frozen=True, slots=True)
class Listing:
    """The first files of an archive by path. count, size_bytes: of all its files."""

    files: Sequence[ArchiveFile]
    count: int
    size_bytes: int


def list_files(archive: IO[bytes]) -> Listing | None:
    """The files of an archive on disk or in memory; None if it has a form that is not accepted."""
    tar = Tar(archive)
    try:
        entries = sorted((entry for entry in tar.entries() if entry.is_file), key=lambda each: each.path)
        files = tuple(_files(tar, entries[:MAX_FILES]))
    except BadArchive:
        return None
    return Listing(files, len(entries), sum(entry.size for entry in entries))


def _files(tar: Tar, entries: Sequence[Entry]) -> Iterator[ArchiveFile]:
    room = MAX_TEXTS_BYTES
    for entry in entries:
        most = min(MAX_TEXT_BYTES, room)
        text = _text(tar.head(entry, most), is_whole=entry.size <= most) if most else None
        if text is not None:
            room -= min(entry.size, most)
        yield ArchiveFile(entry.path, entry.size, text, is_whole=entry.size <= most)


def _text(data: bytes, *, is_whole: bool) -> str | None:
    """The text of these bytes, None if they are not UTF-8 or have control characters that no text has.

    is_whole: false for the beginning of a file, which may end within a character.
    """
    try:
        text = codecs.getincrementaldecoder("utf-8")().decode(data, final=is_whole)
    except UnicodeDecodeError:
        return None
    return None if _BINARY.search(text) else text
