"""Checks the paths in an archive (contract, 4.1, check 7; 4.2). Pure.

Every program on every system must unpack each file to the same place, and no second file may land there, so
that the installed files are the checked ones. Paths are therefore also refused if they differ only in case or
Unicode normalization, lie below a file, have another meaning on Windows or macOS, or contain misleading
characters.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from itertools import pairwise
from typing import Final

from shared.archive.how_to_pack import AT_THE_ROOT, HOW_TO_PACK
from shared.archive.tar import Entry
from shared.publish_errors import BadArchive
from shared.relative_path import parse_relative_path
from shared.text import rust_quote

MAX_NAME_BYTES: Final = 255  # the limit of file systems for one component

# Names that some system interprets differently, with the reason. Windows: see "Naming Files, Paths, and
# Namespaces". Each pattern is searched in whole paths, so that the time is linear in their length.
_MISREAD: Final = (
    (
        # Includes the bidirectional formatting characters, which change how a path is displayed.
        re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u206f\ufeff]"),
        "has a control character",
    ),
    (
        re.compile(r'[<>:"|?*\\]'),
        'has one of <>:"|?*\\, which Windows reads as a stream, a folder or `_`',
    ),
    (
        re.compile(r"(^|/)\x20|[\x20.](/|$)"),
        "has a name with a blank at an edge or a dot at its end, which Windows removes",
    ),
    (
        re.compile(
            r"(^|/)(con|prn|aux|nul|conin\$|conout\$|clock\$|(com|lpt)[0-9¹²³])\x20*(\.[^/]*)?(/|$)",
            re.IGNORECASE,
        ),
        "has the name of a device on Windows",
    ),
    (
        # X07-PA~1.JSO is x07-package.json on Windows.
        re.compile(r"(^|/)[^./]*~[0-9]+(\.[^./]*)?(/|$)"),
        "has a name that Windows generates for longer ones",
    ),
    (
        re.compile(r"(^|/)\._"),
        f"has a name that macOS reads as attributes of another file; {HOW_TO_PACK}",
    ),
)

# Joiners occur in words of some languages, but HFS+ of macOS ignores them when it compares names (TN1150,
# "Unicode Subtleties"). The patterns above refuse the other characters that it ignores.
_NO_JOINERS: Final = str.maketrans("", "", "\u200c\u200d")


def files_by_path(entries: Sequence[Entry]) -> dict[str, Entry]:
    """The files by path. Raises BadArchive for a bad or repeated path."""
    files: dict[str, Entry] = {}
    places: list[tuple[str, bool, str]] = []
    for entry in entries:
        path = _parse(entry.path)
        if entry.is_file:
            if path in files:
                raise BadArchive(f"duplicate tar entry path: {rust_quote(path)}")
            files[path] = entry
        places.append((_place(path), not entry.is_file, path))
    _require_apart(sorted(places))
    return files


def _parse(text: str) -> str:
    """Parse a path into its components."""
    try:
        path = parse_relative_path(text)
        _require_plain(path)
    except ValueError as error:
        how = f"; {AT_THE_ROOT}" if text.startswith("./") else ""
        raise BadArchive(f"invalid tar entry path: {rust_quote(text)} {error}{how}") from None
    return path


def _require_plain(path: str) -> None:
    """Raise ValueError for a name that some system interprets differently or does not accept."""
    for pattern, reason in _MISREAD:
        if pattern.search(path):
            raise ValueError(reason)
    if max(map(len, path.encode().split(b"/"))) > MAX_NAME_BYTES:
        raise ValueError(f"has a name of more than {MAX_NAME_BYTES} bytes")


def _require_apart(places: Sequence[tuple[str, bool, str]]) -> None:
    """Raise BadArchive for a file at or below the place of another file, or at the place of a directory.

    places: sorted; each with whether it is a directory, and its path. Everything below a place follows it
    directly.
    """
    for (place, is_directory, path), (next_place, next_is_directory, next_path) in pairwise(places):
        is_same = place == next_place and not (is_directory and next_is_directory)
        is_below = not is_directory and next_place.startswith(f"{place}\0")
        if is_same or is_below:
            first, second = rust_quote(path), rust_quote(next_path)
            raise BadArchive(f"tar entry paths {first} and {second} are the same place on some systems")


def _place(path: str) -> str:
    """The path without case, normalization and joiners, as the least exact file system compares it."""
    if not path.isascii():
        path = unicodedata.normalize("NFC", unicodedata.normalize("NFD", path).casefold())
        path = path.translate(_NO_JOINERS)
    return path.lower().replace("/", "\0")
