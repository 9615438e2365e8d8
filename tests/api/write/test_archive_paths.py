"""Paths of an archive: each file lies at one place, which no second one can take, on any system."""

from __future__ import annotations

import time
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.write.archive_paths import files_by_path
from api.write.tar import Entry
from shared.errors import BadArchive

A_RING = "\u00e5"


def listed(*paths: str) -> list[Entry]:
    """Entries with these paths; one that ends in `/` is a directory."""
    return [Entry(path, not path.endswith("/"), 0, 0) for path in paths]


REFUSED = {
    "empty": ("",),
    "absolute": ("/etc/passwd",),
    "parent": ("modules/../../x",),
    "leading dot": ("./x",),
    "absolute directory": ("/etc/",),
    "parent directory": ("a/../../b/",),
    "parent directory behind a dot": ("./../b/",),
    "backslash": ("..\\..\\x",),
    "backslash in a directory": ("a\\b/",),
    "drive": ("C:x",),
    "drive with a slash": ("c:/x",),
    "line feed": ("a\nb",),
    "escape": ("a\x1b[2Jb",),
    "delete": ("a\x7f",),
    "C1 control": ("a\x9b31m",),
    "right-to-left override": ("greeting\u202enosj.x",),
    "isolate": ("a\u2066b",),
    "line separator": ("a\u2028b",),
    "twice": ("a", "a"),
    "twice by components": ("a/b", "a//./b"),
    "case": ("modules/a", "Modules/A"),
    "case beyond ASCII": ("\u00c5", A_RING),
    "case of one letter to two": ("stra\u00dfe", "STRASSE"),
    "normalization": (A_RING, unicodedata.normalize("NFD", A_RING)),
    "normalization of a look-alike": ("\u212b", A_RING),
    "dot at the end": ("a", "a."),
    "space at the end": ("d/a", "d /a"),
    "file and directory": ("a", "a/"),
    "directory and file": ("A/", "a"),
    "below a file": ("a", "a/b"),
    "below a file, listed first": ("a/b", "a"),
    "below a file, with others between": ("a", "a-b", "a.b", "a/b"),
    "below a file of another case": ("x07-package.json", "X07-PACKAGE.JSON/b"),
    "directory below a file": ("a", "a/b/"),
}


@pytest.mark.parametrize("paths", REFUSED.values(), ids=REFUSED)
def test_paths_that_leave_mislead_or_shadow_are_refused(paths: tuple[str, ...]) -> None:
    """What was checked is what is installed, whatever unpacks it and wherever."""
    with pytest.raises(BadArchive, match="tar entry path"):
        files_by_path(listed(*paths))


def test_paths_that_only_look_alike_are_kept_as_they_are() -> None:
    """Other letters, other folders, common beginnings; directories may repeat, and may be the root."""
    files = ["a", "b/a", "ab", "a-", "a+b/c", "\u0430", "...", "..a", ".b", "d/..e", "\U0001f600/\u00e9"]
    directories = ["./", "b/", "B/", "b/", "./d/", ".b-/"]
    assert list(files_by_path(listed(*directories, *files))) == files


def test_many_long_paths_are_compared_in_linear_time() -> None:
    """As many and as deep as an archive may have them."""
    entries = listed(*("d/" * 500 + str(number) for number in range(20_000)))
    began = time.process_time()
    assert len(files_by_path(entries)) == 20_000
    assert time.process_time() - began < 10


@given(st.lists(st.text(max_size=12), max_size=6))
def test_no_paths_raise_anything_but_a_refusal(paths: list[str]) -> None:
    """And the order of entries never decides whether they are refused."""
    entries = listed(*paths)
    assert accepts(entries) == accepts(entries[::-1])


def accepts(entries: list[Entry]) -> bool:
    """True unless the paths are refused."""
    try:
        files_by_path(entries)
    except BadArchive:
        return False
    return True
