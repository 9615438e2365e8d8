"""Which paths an archive may hold together (contract, 4.1, check 7; 4.2): pure.

A file lies at one place for every program that unpacks the archive, on every system, and at no place
that a second file can take. So that what was checked is what is installed: also refused are paths that
differ only in case or Unicode normalization, files below files, and characters that mislead.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from itertools import pairwise
from typing import Final

from api.write.tar import Entry
from shared.errors import BadArchive
from shared.relative_path import parse_relative_path
from shared.text import rust_quote

# Control characters, and those that reverse how a path is shown (Unicode, bidirectional controls).
_MISLEADING: Final = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")
_DRIVE: Final = re.compile("[A-Za-z]:")


def files_by_path(entries: Sequence[Entry]) -> dict[str, Entry]:
    """The files by their one spelling, each there once. Raises BadArchive."""
    files: dict[str, Entry] = {}
    places: list[tuple[str, bool, str]] = []
    for entry in entries:
        path = _parse(entry)
        if entry.is_file:
            if path in files:
                raise BadArchive(f"duplicate tar entry path: {rust_quote(path)}")
            files[path] = entry
        places.append((_place(path), not entry.is_file, path))
    _require_apart(sorted(places))
    return files


def _parse(entry: Entry) -> str:
    """The path by its components. A directory may be the root (then empty), and may begin with `./`."""
    text = entry.path if entry.is_file else entry.path.removeprefix("./")
    if not entry.is_file and text in ("", "."):
        return ""
    try:
        path = parse_relative_path(text)
        _require_plain(path)
    except ValueError as error:
        raise BadArchive(f"invalid tar entry path: {rust_quote(entry.path)} {error}") from None
    return path


def _require_plain(path: str) -> None:
    """Raises ValueError for what another system reads otherwise than it looks."""
    if "\\" in path:
        raise ValueError("has a backslash")
    if _DRIVE.match(path):
        raise ValueError("starts with a drive letter")
    if _MISLEADING.search(path):
        raise ValueError("has a control character")


def _require_apart(places: Sequence[tuple[str, bool, str]]) -> None:
    """No file at or below the place of another file, or at that of a directory. Raises BadArchive.

    places: sorted; each with whether it is a directory, and the path. What lies below a place follows
    right after it.
    """
    for (place, is_directory, path), (next_place, next_is_directory, next_path) in pairwise(places):
        is_same = place == next_place and not (is_directory and next_is_directory)
        is_below = not is_directory and next_place.startswith(f"{place}\0")
        if is_same or is_below:
            first, second = rust_quote(path), rust_quote(next_path)
            raise BadArchive(f"tar entry paths {first} and {second} take one place on some systems")


def _place(path: str) -> str:
    """The path as the least careful file system compares it: case, normalization, dots at the end."""
    if not path.isascii():
        path = unicodedata.normalize("NFC", unicodedata.normalize("NFD", path).casefold())
    return "\0".join(component.rstrip(". ") or component for component in path.lower().split("/"))
