"""Paths in an archive: on every system, each file has one place that no other file takes."""

from __future__ import annotations

import time
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.write.archive.paths import files_by_path
from shared.archive.tar import Entry
from shared.publish_errors import BadArchive

A_RING = "\u00e5"


def listed(*paths: str) -> list[Entry]:
    """Entries with these paths; a path that ends in `/` is a directory."""
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
    "dot at the end": ("a.",),
    "dot at the end of a directory": ("a./b",),
    "dots alone": ("...",),
    "space at the end": ("d /a",),
    "space at the beginning": ("d/ a",),
    "space alone": ("d/ /a",),
    "stream": ("x07-package.json::$DATA",),
    "stream of a directory": ("modules:$I30/a",),
    "colon": ("ffi/x:y.c",),
    "question mark": ("ffi/x?.c",),
    "star": ("ffi/*.c",),
    "quote": ('ffi/"x".c',),
    "angle": ("ffi/<x>.c",),
    "pipe": ("ffi/a|b",),
    "short name": ("X07-PA~1.JSO",),
    "short name of a directory": ("ffi/MODULE~1/x",),
    "short name without an end": ("MODULE~12",),
    "short name of a name with a tilde": ("A~BCDE~1.TXT",),
    "device": ("ffi/con",),
    "device with an end": ("ffi/con.c",),
    "device with two ends": ("ffi/nul.tar.gz",),
    "device in capitals": ("AUX/a",),
    "device with a number": ("ffi/lpt1.x",),
    "device with a number above": ("ffi/com\u00b9",),
    "device with a blank": ("ffi/con .c",),
    "console": ("CONOUT$",),
    "attributes of macOS": ("._x07-package.json", "x07-package.json"),
    "attributes of macOS in a directory": ("ffi/._a.c",),
    "byte order mark": ("\ufeffx07-package.json",),
    "deprecated format character": ("ffi/a\u206ab",),
    "joiner": ("x07-package.json", "x07-package\u200d.json"),
    "non-joiner": ("ffi/a.c", "ffi/a\u200c.c"),
    "joiner in a directory": ("modules\u200d", "modules/a.c"),
    "name of 256 bytes": ("d/" + "\u00e9" * 128,),
    "root directory": ("./",),
    "directory behind a dot": ("./d/",),
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
    """The checked files are the installed ones, whatever program unpacks them, on any system."""
    with pytest.raises(BadArchive, match="tar entry path"):
        files_by_path(listed(*paths))


def test_paths_that_only_look_alike_are_kept_as_they_are() -> None:
    """Other letters, other folders and common prefixes are different paths; directories may repeat."""
    files = [
        "a",
        "b/a",
        "ab",
        "a-",
        "a+b/c",
        "\u0430",
        "..a",
        ".b",
        "d/..e",
        "\U0001f600/\u00e9",
        "\u0645\u06cc\u200c\u062e.c",
    ]
    near_windows = [
        "conf",
        "console.c",
        "com.c",
        "com10",
        "xcon",
        "a b",
        "x~",
        "x~a",
        "~1x",
        "a.b~1.c.d",
        "$",
    ]
    near_others = ["_a", "a._b", "d" * 255]
    files += [*near_windows, *near_others]
    directories = ["b/", "B/", "b/", ".b-/"]
    assert list(files_by_path(listed(*directories, *files))) == files


def test_many_long_paths_are_compared_in_linear_time() -> None:
    """The number and depth are the most that an archive may have."""
    entries = listed(*("d/" * 500 + str(number) for number in range(20_000)))
    began = time.process_time()
    assert len(files_by_path(entries)) == 20_000
    assert time.process_time() - began < 10


@given(st.lists(st.text(max_size=12), max_size=6))
def test_no_paths_raise_anything_but_a_refusal(paths: list[str]) -> None:
    """The order of entries does not decide whether they are refused."""
    entries = listed(*paths)
    assert accepts(entries) == accepts(entries[::-1])


def accepts(entries: list[Entry]) -> bool:
    """True unless the paths are refused."""
    try:
        files_by_path(entries)
    except BadArchive:
        return False
    return True
