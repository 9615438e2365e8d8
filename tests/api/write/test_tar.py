"""The tar reader: what tar programs write is read, what two of them could read differently is refused."""

from __future__ import annotations

import gzip
import io
import tarfile
from pathlib import Path

import pytest

from api.write.tar import BLOCK_BYTES, MAX_EXTENDED_BYTES, MAX_HEADERS, MAX_PATH_BYTES, Entry, Tar
from shared.errors import BadArchive
from tests.archives import END, entry, header, pax


def _entries(archive: bytes) -> list[Entry]:
    return list(Tar(io.BytesIO(archive)).entries())


def _paths(archive: bytes) -> list[str]:
    return [found.path for found in _entries(archive)]


def changed(start: int, value: bytes, archive: bytes = entry("a")) -> bytes:
    """An archive with a value at this place of its first header, the checksum right."""
    block = archive[:start] + value + archive[start + len(value) : BLOCK_BYTES]
    checksum = sum(block) - sum(block[148:156]) + 8 * ord(" ")
    return block[:148] + b"%06o\0 " % checksum + block[156:] + archive[BLOCK_BYTES:]


def test_entries_are_listed_in_order_and_read_on_demand() -> None:
    """Files and directories, with where their data lies."""
    tar = Tar(io.BytesIO(entry("b", b"two") + entry("a/", kind=b"5") + entry("c", b"x" * 513) + END))
    first, second, third = tar.entries()
    assert (first.path, first.is_file, tar.read(first, 3)) == ("b", True, b"two")
    assert (second.path, second.is_file, second.size) == ("a/", False, 0)
    assert tar.read(third, 1000) == b"x" * 513


def test_an_entry_over_the_limit_of_its_reader_is_refused_before_it_is_read() -> None:
    """The limit counts; the path is named."""
    tar = Tar(io.BytesIO(entry("a", b"four") + END))
    (found,) = tar.entries()
    with pytest.raises(BadArchive, match='"a" has more than 3 bytes'):
        tar.read(found, 3)


@pytest.mark.parametrize("tar_format", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_what_python_writes_in_each_format_is_read(tar_format: int, tmp_path: Path) -> None:
    """Names over 100 bytes: a ustar prefix, a GNU long name, a pax path; pax carries times as well."""
    long_path = "d/" * 60 + "x" * 80
    with tarfile.open(tmp_path / "a.tar", "w", format=tar_format) as archive:
        for path in ("short", long_path):
            info = tarfile.TarInfo(path)
            info.size, info.mtime = 3, 1.5
            archive.addfile(info, io.BytesIO(b"abc"))
    archived = (tmp_path / "a.tar").read_bytes()
    assert [(found.path, found.size) for found in _entries(archived)] == [("short", 3), (long_path, 3)]


@pytest.mark.parametrize(
    ("archive", "paths"),
    [
        (END, []),
        (entry("a") + END + bytes(10 * BLOCK_BYTES), ["a"]),
        (entry("a", kind=b"\0") + END, ["a"]),
        (pax({"path": "long", "mtime": "1.5"}) + entry("short") + END, ["long"]),
        (pax({"size": "3"}) + entry("a", b"abc") + END, ["a"]),
        (pax({"comment": "a commit"}, kind=b"g") + entry("a") + END, ["a"]),
        (pax({"path": "b"}) + entry(b"\xff\xfe") + entry("c") + END, ["b", "c"]),
        (entry("a", b"abc", size=b"\x80" + bytes(10) + b"\x03") + END, ["a"]),
        (entry("p" * MAX_PATH_BYTES) + END, ["p" * MAX_PATH_BYTES]),
    ],
)
def test_unusual_archives_that_mean_one_thing_are_read(archive: bytes, paths: list[str]) -> None:
    """Padding, old types, pax records that agree, a size in base 256."""
    assert _paths(archive) == paths


TWO_LONG_NAMES = entry("././@LongLink", b"a\0", kind=b"L") + entry("././@LongLink", b"b\0", kind=b"L")
REFUSED = {
    "empty": (b"", "cut off after 0 bytes"),
    "not a tar": (b"#!/bin/sh\n" * 200, "no tar header at byte 0"),
    "gzip": (gzip.compress(entry("a", bytes(range(256)) * 20) + END, 0), "uncompressed tar"),
    "wrong checksum": (bytes([entry("a")[0] ^ 1]) + entry("a")[1:] + END, "no tar header at byte 0"),
    "checksum field is text": (entry("a")[:148] + b"checksum" + entry("a")[156:] + END, "no tar header"),
    "damaged in the middle": (entry("a") + b"\1" * 512 + entry("b") + END, "no tar header at byte 512"),
    "cut in a header": (entry("a") + entry("b")[:300], "cut off after 812 bytes"),
    "cut in data": (entry("a", b"x" * 600)[:1000], "more bytes than the archive has"),
    "cut in padding": (entry("a", b"x")[:600], "cut off after 600 bytes"),
    "no end": (entry("a"), "cut off after 512 bytes"),
    "one block at the end": (entry("a") + END[:512], "cut off"),
    "garbage after the end": (entry("a") + END + b"x", "goes on after its end"),
    "entries after the end": (entry("a") + END + entry("b") + END, "goes on after its end"),
    "one block between entries": (entry("a") + END[:512] + entry("b") + END, "goes on after its end"),
    "claims too much": (entry("a", b"x", size=10_000) + END, "more bytes than the archive has"),
    "size is text": (entry("a", size=b"twelve bytes") + END, "no valid size"),
    "size is absent": (entry("a", size=bytes(12)) + END, "no valid size"),
    "size is negative": (entry("a", size=b"-0000000001\0") + END, "no valid size"),
    "huge in base 256": (entry("a", size=b"\x80" + b"\xff" * 11) + END, "more bytes than the archive has"),
    "negative in base 256": (entry("a", size=b"\xff" * 12) + END, "more bytes than the archive has"),
    "prefix without ustar": (changed(345, b"evil") + END, "only some readers use"),
    "long name in no format": (changed(257, bytes(8), entry("x" * 101)) + END, "for some readers only"),
    "pax in no format": (changed(263, b"01", pax({"path": "b"})) + entry("a") + END, "for some readers only"),
    "mode is text": (changed(100, b"rw-r--r-") + END, "a number that is none"),
    "owner is text": (changed(108, b"nobody\0\0") + END, "a number that is none"),
    "time has two words": (changed(136, b"1 2\0\0\0\0\0\0\0\0\0") + END, "a number that is none"),
    "device is text": (changed(337, b"PaxHeade") + END, "a number that is none"),
    "hard link": (entry("a", kind=b"1", link=b"b") + END, "a hard link"),
    "symbolic link": (entry("a", kind=b"2", link=b"/etc/passwd") + END, "a symbolic link"),
    "character device": (entry("a", kind=b"3") + END, "a character device"),
    "block device": (entry("a", kind=b"4") + END, "a block device"),
    "fifo": (entry("a", kind=b"6") + END, "a FIFO"),
    "GNU sparse": (entry("a", kind=b"S") + END, "a sparse file"),
    "long link": (entry("././@LongLink", b"b\0", kind=b"K") + END, "a link with a long target"),
    "contiguous file": (entry("a", kind=b"7") + END, "an unknown type"),
    "directory with data": (entry("a", b"x", kind=b"5") + END, "a directory has data"),
    "NUL in a long name": (entry("././@LongLink", b"a\0b", kind=b"L") + entry("a") + END, "a NUL"),
    "NUL in a pax path": (pax({"path": b"a\0b"}) + entry("a") + END, "a NUL"),
    "path is not UTF-8": (entry(b"a\xff") + END, "not UTF-8"),
    "pax path is not UTF-8": (pax({"path": b"\xc3"}) + entry("a") + END, "not UTF-8"),
    "path is too long": (entry("p" * (MAX_PATH_BYTES + 1)) + END, "more than 1024 bytes"),
    "two long names": (TWO_LONG_NAMES + entry("c") + END, "two extended headers"),
    "pax after long name": (pax({"path": "a"}) + entry("x" * 101) + END, "two extended headers"),
    "pax of nothing": (pax({"path": "a"}) + END, "the last extended header has no entry"),
    "pax size lies": (pax({"size": "0"}) + entry("a", b"x") + END, "another size"),
    "pax size is huge": (pax({"size": "9" * 30}) + entry("a", b"x") + END, "another size"),
    "pax size hides data": (pax({"size": "512"}) + entry("a") + entry("b") + END, "another size"),
    "pax sparse": (pax({"GNU.sparse.name": "b"}) + entry("a") + END, "a sparse file"),
    "global path": (pax({"path": "b"}, kind=b"g") + entry("a") + END, "global pax header"),
    "pax is huge": (pax({"comment": "x" * MAX_EXTENDED_BYTES}) + entry("a") + END, "extended header has"),
}


@pytest.mark.parametrize(("archive", "message"), REFUSED.values(), ids=REFUSED)
def test_an_archive_that_is_damaged_hostile_or_ambiguous_is_refused(archive: bytes, message: str) -> None:
    """With a message that says what, and where."""
    with pytest.raises(BadArchive) as refusal:
        _entries(archive)
    assert message in refusal.value.message


@pytest.mark.parametrize(
    ("records", "message"),
    [
        (b"x path=b\n", "malformed"),
        (b"0 path=b\n", "malformed"),
        (b"3 path=b\n", "malformed"),
        (b"99 path=b\n", "malformed"),
        (b"9 path=bc", "malformed"),
        (b"9 path b\n", "malformed"),
        (b"99999999999999999999 path=b\n", "malformed"),
        (b"9 path=b\n9 path=c\n", "repeats path"),
    ],
)
def test_a_malformed_pax_header_is_refused(records: bytes, message: str) -> None:
    """Readers guess differently at what it means."""
    with pytest.raises(BadArchive, match=message):
        _entries(entry("PaxHeaders", records, kind=b"x") + entry("a") + END)


def test_an_archive_of_very_many_entries_is_refused_without_reading_them_all() -> None:
    """The limit counts headers, extended ones too; exactly the limit is allowed."""
    assert len(_entries(header(b"a", 0) * MAX_HEADERS + END)) == MAX_HEADERS
    with pytest.raises(BadArchive, match="more than 20000 entries"):
        _entries(header(b"a", 0) * (MAX_HEADERS + 1) + END)


def test_an_archive_that_is_cut_off_anywhere_is_refused() -> None:
    """At every byte: in a header, in data, in padding, between entries, in the end."""
    archive = entry("a", b"x" * 20) + pax({"path": "b"}) + entry("short", b"y") + END
    assert _paths(archive) == ["a", "b"]
    for length in range(len(archive)):
        with pytest.raises(BadArchive):
            _entries(archive[:length])
