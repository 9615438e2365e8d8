"""The tar reader accepts what tar programs write, and refuses what two of them could read differently."""

from __future__ import annotations

import gzip
import io
import tarfile
from pathlib import Path

import pytest

from shared.archive.extended import MAX_HEADER_BYTES
from shared.archive.tar import MAX_HEADERS, MAX_PATH_BYTES, Entry, Tar
from shared.archive.tar_header import BLOCK_BYTES
from shared.publish_errors import BadArchive
from tests.archives import END, entry, header, pax


def _entries(archive: bytes) -> list[Entry]:
    return list(Tar(io.BytesIO(archive)).entries())


def _paths(archive: bytes) -> list[str]:
    return [found.path for found in _entries(archive)]


def changed(start: int, value: bytes, archive: bytes = entry("a")) -> bytes:
    """An archive with a changed field in its first header, and a valid checksum."""
    block = archive[:start] + value + archive[start + len(value) : BLOCK_BYTES]
    checksum = sum(block) - sum(block[148:156]) + 8 * ord(" ")
    return block[:148] + b"%06o\0 " % checksum + block[156:] + archive[BLOCK_BYTES:]


def test_entries_are_listed_in_order_and_read_on_demand() -> None:
    """Entries are files and directories, each with the position of its data."""
    tar = Tar(io.BytesIO(entry("b", b"two") + entry("a/", kind=b"5") + entry("c", b"x" * 513) + END))
    first, second, third = tar.entries()
    assert (first.path, first.is_file, tar.read(first, 3)) == ("b", True, b"two")
    assert (second.path, second.is_file, second.size) == ("a/", False, 0)
    assert tar.read(third, 1000) == b"x" * 513


def test_an_entry_over_the_limit_of_its_reader_is_refused_before_it_is_read() -> None:
    """Exactly the limit is allowed, and the message names the path."""
    tar = Tar(io.BytesIO(entry("a", b"four") + END))
    (found,) = tar.entries()
    with pytest.raises(BadArchive, match='"a" has more than 3 bytes'):
        tar.read(found, 3)


@pytest.mark.parametrize("tar_format", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_what_python_writes_in_each_format_is_read(tar_format: int, tmp_path: Path) -> None:
    """Names over 100 bytes become a ustar prefix, a GNU long name or a pax path; pax has times, too."""
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
        (pax({"path": "b"}) + entry(b"\xff\xfe") + entry("c") + END, ["b", "c"]),
        (changed(108, b"\x80\0\0\0\x10\0\0\x01") + END, ["a"]),
        (changed(100, bytes(24)) + END, ["a"]),
        (changed(136, b"    14371573 ") + END, ["a"]),
        (changed(329, b"000000 \0        ") + END, ["a"]),
        (entry("p" * MAX_PATH_BYTES) + END, ["p" * MAX_PATH_BYTES]),
    ],
)
def test_unusual_archives_that_mean_one_thing_are_read(archive: bytes, paths: list[str]) -> None:
    """Padding, old types, agreeing pax records, a name cut within a character, a large owner, no owner."""
    assert _paths(archive) == paths


def long_name(data: bytes) -> bytes:
    """A GNU long name for the entry after it."""
    return entry("././@LongLink", data, kind=b"L")


USTAR = changed(257, b"ustar\00000")
TWO_LONG_NAMES = long_name(b"a\0") + long_name(b"b\0")
REFUSED = {
    "empty": (b"", "the body is empty"),
    "not a tar": (b"#!/bin/sh\n" * 200, "no tar header at byte 0"),
    "gzip": (gzip.compress(entry("a", bytes(range(256)) * 20) + END, 0), "this is gzip"),
    "wrong checksum": (bytes([entry("a")[0] ^ 1]) + entry("a")[1:] + END, "no tar header at byte 0"),
    "checksum field is text": (entry("a")[:148] + b"checksum" + entry("a")[156:] + END, "no tar header"),
    "damaged in the middle": (entry("a") + b"\1" * 512 + entry("b") + END, "no tar header at byte 512"),
    "cut in a header": (entry("a") + entry("b")[:300], "cut off after 812 bytes"),
    "cut in data": (entry("a", b"x" * 600)[:1000], "more bytes than the archive has"),
    "cut in padding": (entry("a", b"x")[:600], "cut off after 600 bytes"),
    "no end": (entry("a"), "cut off after 512 bytes"),
    "one block at the end": (entry("a") + END[:512], "cut off"),
    "garbage after the end": (entry("a") + END + b"x" * 512, "continues after its end"),
    "part of a block after the end": (entry("a") + END + bytes(1), "cut off"),
    "entries after the end": (entry("a") + END + entry("b") + END, "continues after its end"),
    "one block between entries": (entry("a") + END[:512] + entry("b") + END, "continues after its end"),
    "claims too much": (entry("a", b"x", size=10_000) + END, "more bytes than the archive has"),
    "size is text": (entry("a", size=b"twelve bytes") + END, "no valid size"),
    "size is absent": (entry("a", size=bytes(12)) + END, "no valid size"),
    "size is negative": (entry("a", size=b"-0000000001\0") + END, "no valid size"),
    "size in base 256": (entry("a", b"abc", size=b"\x80" + bytes(10) + b"\x03") + END, "no valid size"),
    "size in base 256 of 2^64 and 3": (
        entry("a", b"abc", size=b"\x80\0\0\1" + bytes(7) + b"\x03") + END,
        "no valid size",
    ),
    "negative in base 256": (entry("a", size=b"\xff" * 12) + END, "no valid size"),
    "owner in base 256 from 0x81": (changed(108, b"\x81\0\0\0\x10\0\0\1") + END, "an owner or a group"),
    "owner in base 256 up to 0xfe": (changed(108, b"\xfe\0\0\0\x10\0\0\1") + END, "an owner or a group"),
    "owner below zero": (changed(108, b"\xff" * 8) + END, "an owner or a group"),
    "owner beyond 32 bits": (changed(116, b"\x80\0\0\1\0\0\0\0") + END, "an owner or a group"),
    "owner in base 256 without need": (changed(116, b"\x80" + bytes(6) + b"\1") + END, "an owner or a group"),
    "owner is blanks": (changed(108, b" " * 8) + END, "an owner or a group"),
    "owner is text": (changed(108, b"nobody\0\0") + END, "an owner or a group"),
    "prefix without ustar": (changed(345, b"evil") + END, "only some readers know"),
    "sparse parts of GNU": (changed(386, b"00000000001\0") + END, "only some readers know"),
    "prefix of star": (changed(508, b"tar\0", USTAR) + END, "bytes after its prefix"),
    "time of star": (changed(476, b"00000000001\0", USTAR) + END, "control character in its prefix"),
    "old tar": (changed(257, bytes(8)) + END, "neither ustar nor GNU"),
    "long name in no format": (changed(257, bytes(8), entry("x" * 101)) + END, "neither ustar nor GNU"),
    "pax in no format": (changed(263, b"01", pax({"path": "b"})) + entry("a") + END, "neither ustar nor GNU"),
    "mode is text": (changed(100, b"rw-r--r-") + END, "a mode that is not an octal number"),
    "mode is blanks": (changed(100, b" " * 8) + END, "a mode that is not an octal number"),
    "mode of a directory": (changed(100, b"0040755\0") + END, "a mode that is not an octal number"),
    "time has two words": (changed(136, b"1 2\0\0\0\0\0\0\0\0\0") + END, "a time that is not a number"),
    "time before 1970": (changed(136, b"\xff" * 12) + END, "`touch` the files"),
    "device is text": (changed(337, b"PaxHeade") + END, "a device that is not a number"),
    "target of no link": (entry("a", link=b"b") + END, "a link target"),
    "bytes behind the name": (changed(3, b"x") + END, "control character in its name"),
    "line feed in a name": (entry("a\nb") + END, "control character in its name"),
    "control character in an owner": (changed(265, b"me\x1b[2J") + END, "control character in its owner"),
    "no name": (entry("") + END, "an empty name"),
    "pax header without a name": (
        pax({"path": "a"})[:0] + entry("", b"9 path=b\n", kind=b"x") + entry("a") + END,
        "an empty name",
    ),
    "file with a slash": (entry("a/", b"x") + END, "a slash after its name"),
    "old file with a slash": (entry("ffi/blob/", b"x" * 512, kind=b"\0") + END, "a slash after its name"),
    "old file with a slash behind pax": (
        pax({"path": "ffi/blob"}) + entry("ffi/blob/", b"x" * 512, kind=b"\0") + END,
        "a slash after its name",
    ),
    # GNU tar and Python do not unpack the file, Rust does not unpack the directory.
    "file that is a folder's dot": (entry("a/.", b"x") + END, "some tar readers cannot unpack"),
    "pax path of a folder's dot": (
        pax({"path": "a/./."}) + entry("a", b"x") + END,
        "some tar readers cannot unpack",
    ),
    "directory by its dot": (entry("a/.", kind=b"5") + END, "some tar readers cannot unpack"),
    "directory by its dot and a slash": (entry("a/./", kind=b"5") + END, "some tar readers cannot unpack"),
    "long name of a folder's dot": (entry("d/" * 60 + ".", b"x") + END, "some tar readers cannot unpack"),
    "pax path with a slash": (pax({"path": "a/"}) + entry("a", b"x") + END, "a slash after its name"),
    "hard link": (entry("a", kind=b"1", link=b"b") + END, "a hard link"),
    "symbolic link": (entry("a", kind=b"2", link=b"/etc/passwd") + END, "a symbolic link"),
    "character device": (entry("a", kind=b"3") + END, "a character device"),
    "block device": (entry("a", kind=b"4") + END, "a block device"),
    "fifo": (entry("a", kind=b"6") + END, "a FIFO"),
    "GNU sparse": (entry("a", kind=b"S") + END, "a sparse file"),
    "long link": (entry("././@LongLink", b"b\0", kind=b"K") + END, "a link with a long target"),
    "contiguous file": (entry("a", kind=b"7") + END, "an unknown type"),
    "directory with data": (entry("a", b"x", kind=b"5") + END, "a directory has data"),
    "NUL in a long name": (long_name(b"a\0b\0") + entry("a") + END, "a GNU long name"),
    "two NULs behind a long name": (long_name(b"b\0\0") + entry("a") + END, "one NUL behind it"),
    "no NUL behind a long name": (long_name(b"b") + entry("a") + END, "one NUL behind it"),
    "long name of nothing": (long_name(b"\0") + entry("a") + END, "a GNU long name"),
    "line feed in a long name": (long_name(b"a\nb\0") + entry("a") + END, "a GNU long name"),
    "long name is not UTF-8": (long_name(b"a\xff\0") + entry("a") + END, "a GNU long name is not UTF-8"),
    "path is not UTF-8": (entry(b"a\xff") + END, "not UTF-8"),
    "first bytes of LZMA": (
        entry(b"\x5e" + b"\xff" * 12, b"11 mtime=1\n", kind=b"x") + entry("a") + END,
        "an extended header has a name that is not UTF-8",
    ),
    "path is too long": (entry("p" * (MAX_PATH_BYTES + 1)) + END, "more than 1024 bytes"),
    "two long names": (TWO_LONG_NAMES + entry("c") + END, "two extended headers"),
    "pax after long name": (pax({"path": "a"}) + entry("x" * 101) + END, "two extended headers"),
    "pax of nothing": (pax({"path": "a"}) + END, "the last extended header has no entry"),
    "pax size lies": (pax({"size": "0"}) + entry("a", b"x") + END, "another size"),
    "pax size hides data": (pax({"size": "512"}) + entry("a") + entry("b") + END, "another size"),
    "global path": (pax({"path": "b"}, kind=b"g") + entry("a") + END, "a global pax header"),
    "global comment": (pax({"comment": "a commit"}, kind=b"g") + entry("a") + END, "git archive HEAD^{tree}"),
    "pax header of Solaris": (pax({"path": "b"}, kind=b"X") + entry("a") + END, "an unknown type"),
    "label of a volume": (entry("a", kind=b"V") + END, "an unknown type"),
    "pax is huge": (pax({"comment": "x" * MAX_HEADER_BYTES}) + entry("a") + END, "extended header has"),
}


@pytest.mark.parametrize(("archive", "message"), REFUSED.values(), ids=REFUSED)
def test_an_archive_that_is_damaged_hostile_or_ambiguous_is_refused(archive: bytes, message: str) -> None:
    """The message says what is wrong, and where."""
    with pytest.raises(BadArchive) as refusal:
        _entries(archive)
    assert message in refusal.value.message


def test_an_archive_of_very_many_entries_is_refused_without_reading_them_all() -> None:
    """The limit includes extended headers; exactly the limit is allowed."""
    assert len(_entries(header(b"a", 0) * MAX_HEADERS + END)) == MAX_HEADERS
    with pytest.raises(BadArchive, match="more than 20000 entries"):
        _entries(header(b"a", 0) * (MAX_HEADERS + 1) + END)


def test_an_archive_that_is_cut_off_anywhere_is_refused() -> None:
    """It is cut at every byte: in a header, in data, in padding, between entries, in the end."""
    archive = entry("a", b"x" * 20) + pax({"path": "b"}) + entry("short", b"y") + END
    assert _paths(archive) == ["a", "b"]
    for length in range(len(archive)):
        with pytest.raises(BadArchive):
            _entries(archive[:length])
