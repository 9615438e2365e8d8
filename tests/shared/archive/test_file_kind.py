"""Refusals name what was sent instead of a tar archive."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import zipfile

import pytest

from shared.archive.tar import Tar
from shared.publish_errors import BadArchive
from tests.archives import END, entry, hello_archive, pax


def zipped() -> bytes:
    """A zip file with one member."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("x07-package.json", "{}")
    return buffer.getvalue()


TOLD = {
    "empty": (b"", "the body is empty; send the archive as it is, with `curl --data-binary @FILE`"),
    "gzip": (gzip.compress(hello_archive()), "this is gzip; an archive must be an uncompressed tar"),
    "bzip2": (bz2.compress(hello_archive()), "this is bzip2"),
    "bzip2 of nothing": (bz2.compress(b""), "this is bzip2"),
    "xz": (lzma.compress(hello_archive()), "this is xz"),
    "zstd": (b"\x28\xb5\x2f\xfd\x04\x00", "this is zstd"),
    "lz4": (b"\x04\x22\x4d\x18\x64\x40", "this is lz4"),
    "compress": (b"\x1f\x9d\x90", "this is compress"),
    "zip": (zipped(), "this is zip"),
    "empty zip": (b"PK\x05\x06" + bytes(18), "this is zip"),
    "7-Zip": (b"7z\xbc\xaf\x27\x1c\x00\x04", "this is 7-Zip"),
    "byte order mark": (b"\xef\xbb\xbf" + hello_archive(), "a byte order mark"),
    "UTF-16": ("x07".encode("utf-16"), "a byte order mark"),
    "manifest alone": (b'{\n  "schema_version": "x07.package@0.1.0"}', "this is JSON"),
    "page of a proxy": (b"<!DOCTYPE html><title>502</title>", "this is HTML or XML"),
    "form": (
        b"------------------------d74496d66958873e\r\nContent-Disposition: form-data",
        "this is a web form",
    ),
    # bsdtar and Python recognise these before tar.
    "tar with the magic bytes of gzip": (
        entry(b"\x1f\x8b\x08", b"9 path=b\n", kind=b"x") + END,
        "this is gzip",
    ),
    "tar with the magic bytes of bzip2": (entry("BZh91AY&SYab") + END, "this is bzip2"),
    "tar with the magic bytes of xz": (pax({"path": "a"}) and entry(b"\xfd7zXZ") + END, "this is xz"),
    "tar with the magic bytes of zstd": (entry(b"\x28\xb5\x2f\xfd") + END, "this is zstd"),
}


@pytest.mark.parametrize(("body", "message"), TOLD.values(), ids=TOLD)
def test_a_refusal_names_what_the_bytes_are(body: bytes, message: str) -> None:
    """The message also says what to send."""
    with pytest.raises(BadArchive) as refusal:
        list(Tar(io.BytesIO(body)).entries())
    assert message in refusal.value.message


@pytest.mark.parametrize("name", ["BZh.md", "PK", "7z", "{x}", "begin 644 x", "--x", "#mtree", "070707"])
def test_a_first_file_is_not_taken_for_something_else_for_its_name_alone(name: str) -> None:
    """Only names that some reader would interpret as another kind of file are refused."""
    assert [found.path for found in Tar(io.BytesIO(entry(name, b"x") + END)).entries()] == [name]
