"""Pax headers: records of tar programs are read; records that readers could read differently are refused."""

from __future__ import annotations

import io

import pytest

from shared.archive.extended import MAX_BYTES, MAX_RECORDS, Extended
from shared.archive.pax import parse_pax
from shared.archive.tar import Tar
from shared.archive.tar_header import Refused
from shared.publish_errors import BadArchive
from tests.archives import END, entry, pax, pax_record

MANIFEST = "x07-package.json"


def test_the_records_that_tar_programs_write_are_read() -> None:
    """GNU tar, bsdtar, Python, Go and git write these records for a file, in these forms."""
    records = {
        "path": "ffi/b\u00e4r=.c",
        "size": "0",
        "mtime": "1700000000.123456789",
        "atime": "0",
        "ctime": "1700000000.1234567",
        "uid": "4294967294",
        "gid": "0",
        "uname": "m\u00fcller",
        "gname": "domain users",
    }
    data = b"".join(pax_record(key, value) for key, value in records.items())
    assert parse_pax(data) == records


REFUSED = {
    "no length": (b"x path=b\n", "malformed"),
    "length of zero": (b"0 path=b\n", "malformed"),
    "length with a zero before": (b"09 path=b\n", "malformed"),
    "length with a sign": (b"+10 path=b\n", "malformed"),
    "length too small": (b"3 path=b\n", "malformed"),
    "length too large": (b"99 path=b\n", "malformed"),
    "length beyond all numbers": (b"99999999999999999999 path=b\n", "malformed"),
    "no line feed": (b"9 path=bc", "malformed"),
    "no value": (b"9 path b\n", "malformed"),
    "no key": (pax_record("", "b"), 'has ""'),
    "nothing": (b"", "is empty"),
    "NUL after the records": (b"9 path=b\n\0", "malformed"),
    "blank line after the records": (b"9 path=b\n\n", "malformed"),
    "repeated": (b"9 path=b\n9 path=c\n", 'repeats "path"'),
    # The Rust client splits at each line feed.
    "line feed in a comment": (
        pax_record("comment", b"x\n" + pax_record("path", MANIFEST)[:-1]),
        'has "comment"',
    ),
    "two line feeds": (pax_record("comment", "a\n\nb") + pax_record("path", "ffi/x.c"), 'has "comment"'),
    "line feed in a key": (pax_record("comment=x\n15 path", "b"), "comment"),
    "line feed in a path": (pax_record("path", "ffi/a\n26 path=x07-package.json"), "a path that readers"),
    "line feed in a user's name": (
        pax_record("uname", b"x\n" + pax_record("path", MANIFEST)[:-1]),
        "a uname",
    ),
    # GNU tar strips blanks from a key.
    "blank before a key": (pax_record(" path", "b"), 'has " path"'),
    "tab before a key": (pax_record("\tpath", "b"), 'has "\\tpath"'),
    "blank after a key": (pax_record("path ", "b"), 'has "path "'),
    "key in capitals": (pax_record("Path", "b"), 'has "Path"'),
    "NUL in a key": (pax_record("path\0", "b"), 'has "path\\0"'),
    # bsdtar and GNU tar interpret these.
    "holes of Solaris": (pax_record("SUN.holesdata", " 0 1"), 'has "SUN.holesdata"'),
    "size of star": (pax_record("SCHILY.realsize", "1"), 'has "SCHILY.realsize"'),
    "type of star": (pax_record("SCHILY.filetype", "directory"), 'has "SCHILY.filetype"'),
    "sparse file": (pax_record("GNU.sparse.name", "b"), 'has "GNU.sparse.name"'),
    "size of a sparse file": (pax_record("GNU.sparse.realsize", "1"), 'has "GNU.sparse.realsize"'),
    "character set": (pax_record("hdrcharset", "BINARY"), 'has "hdrcharset"'),
    "link": (pax_record("linkpath", "b"), 'has "linkpath"'),
    "attributes of macOS": (
        pax_record("LIBARCHIVE.xattr.com.apple.provenance", "AQAA"),
        "COPYFILE_DISABLE=1",
    ),
    # No value may be empty, or have a NUL, a control character or a blank at either end.
    "empty path": (pax_record("path", ""), "a path that readers"),
    "NUL in a path": (pax_record("path", b"a\0b"), "a path that readers"),
    "NUL after a path": (pax_record("path", b"a\0"), "a path that readers"),
    "blank before a path": (pax_record("path", " a"), "a path that readers"),
    "blank after a path": (pax_record("path", "a "), "a path that readers"),
    "escape in a path": (pax_record("path", "a\x1b[2J"), "a path that readers"),
    "path not in UTF-8": (pax_record("path", b"\xc3"), "a path that is not UTF-8"),
    "empty size": (pax_record("size", ""), "a size that readers interpret"),
    "size with a sign": (pax_record("size", "+1"), "a size that readers interpret"),
    "size with a blank": (pax_record("size", " 1"), "a size that readers interpret"),
    "size with a zero before": (pax_record("size", "01"), "a size that readers interpret"),
    "size in other digits": (pax_record("size", "\u0661"), "a size that readers interpret"),
    "size of many digits": (pax_record("size", "9" * 30), "a size that readers interpret"),
    "time with an exponent": (pax_record("mtime", "1e9"), "a mtime that readers interpret"),
    "time below zero": (pax_record("mtime", "-1"), "a mtime that readers interpret"),
    "time that is none": (pax_record("mtime", "nan"), "a mtime that readers interpret"),
    "user beyond 32 bits": (pax_record("uid", "4294967296"), "a uid that readers interpret"),
    "user below zero": (pax_record("uid", "-1"), "a uid that readers interpret"),
}


@pytest.mark.parametrize(("data", "message"), REFUSED.values(), ids=REFUSED)
def test_a_record_that_two_readers_could_take_differently_is_refused(data: bytes, message: str) -> None:
    """The message names the key."""
    with pytest.raises(Refused) as refusal:
        parse_pax(data)
    assert message in f"{refusal.value}; {refusal.value.how}"


@pytest.mark.parametrize(
    ("key", "value"), [("comment", "x"), ("SCHILY.dev", "1"), ("mtime", "-1"), ("path", "")]
)
def test_a_record_that_is_not_taken_is_refused_with_how_to_pack_instead(key: str, value: str) -> None:
    """The message has the key, the entry, and a command that omits the record."""
    archive = pax({key: value}) + entry("ffi/x.c") + END
    with pytest.raises(BadArchive) as refusal:
        list(Tar(io.BytesIO(archive)).entries())
    for part in (key, '"PaxHeaders/0"', "--format=gnu", "COPYFILE_DISABLE=1"):
        assert part in refusal.value.message


def test_pax_headers_of_an_archive_have_bounds_together() -> None:
    """Bytes are limited before they are read, records after that; exactly the limit is allowed."""
    extended = Extended()
    for _ in range(MAX_BYTES // 4096):
        extended.claim(4096)
    with pytest.raises(Refused, match=f"more than {MAX_BYTES} bytes together"):
        extended.claim(1)
    records = pax_record("uid", "0") + pax_record("gid", "0")
    for _ in range(MAX_RECORDS // 2):
        extended.put(b"x", records)
        extended.take()
    with pytest.raises(Refused, match=f"more than {MAX_RECORDS} records"):
        extended.put(b"x", records)
