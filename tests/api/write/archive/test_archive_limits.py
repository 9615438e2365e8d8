"""Uploaded archives: memory and time are bounded, and no input makes the check crash."""

from __future__ import annotations

import itertools
import tempfile
import time
import tracemalloc
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.write.archive.check import CheckedArchive, check_archive
from shared.errors import RegistryError
from shared.publish_errors import BadArchive
from tests.archives import (
    END,
    build_archive,
    entry,
    header,
    hello_archive,
    hello_manifest,
    hello_module,
    json_bytes,
    listed_files,
    pax,
    pax_record,
)

MODULE = "modules/greeting.x07.json"
FILES = listed_files(hello_manifest())


def _check(path: Path, archive: bytes) -> CheckedArchive:
    path.write_bytes(archive)
    return check_archive(path, allowed_hosts=[], allowed_buckets=[])


def test_data_that_is_no_module_is_neither_read_nor_kept(tmp_path: Path) -> None:
    """60 MiB beside the module take no memory, and many small entries take little."""
    large = {"ffi/lib.a": bytes(60 << 20)}
    archives = [
        build_archive(hello_manifest(), FILES | large),
        build_archive(hello_manifest(), FILES, last=b"".join(header(b"f%d" % n, 0) for n in range(15_000))),
    ]
    for archive in archives:
        tracemalloc.start()
        try:
            _check(tmp_path / "upload", archive)
            assert tracemalloc.get_traced_memory()[1] < 8 << 20
        finally:
            tracemalloc.stop()


def test_the_worst_archive_is_refused_in_bounded_time(tmp_path: Path) -> None:
    """A module that is listed repeatedly is read once; of 100,000 entries 20,000 are read."""
    module = hello_module()
    module["decls"][1]["body"] = ["begin", *itertools.repeat(["+", 1, 2], 20_000)]
    repeated = hello_manifest(modules=["greeting"] * 1_000)
    began = time.process_time()
    _check(tmp_path / "upload", build_archive(repeated, {MODULE: json_bytes(module)}))
    with pytest.raises(BadArchive, match="more than 20000 entries"):
        _check(tmp_path / "upload", header(b"a", 0) * 100_000)
    assert time.process_time() - began < 20


def test_extended_headers_take_bounded_time(tmp_path: Path) -> None:
    """44 MiB of tiny pax records are refused without being parsed.

    An archive near the allowed number of records is read within seconds.
    """
    tiny = entry("p", pax_record("a", "") * 10_000, kind=b"x") * 900
    records = b"".join(pax_record(key, "0") for key in ("uid", "gid", "mtime", "atime", "ctime"))
    most = b"".join(entry("p", records, kind=b"x") + header(b"f%d" % number, 0) for number in range(9_990))
    began = time.process_time()
    with pytest.raises(BadArchive, match="extended header"):
        _check(tmp_path / "upload", build_archive(hello_manifest(), FILES, last=tiny))
    _check(tmp_path / "upload", build_archive(hello_manifest(), FILES, last=most))
    assert time.process_time() - began < 5


SEEDS = [
    hello_archive(),
    build_archive(
        hello_manifest(), FILES | {"x" * 150: b"1"}, first=pax({"path": "p", "size": "1"}) + entry("a", b"x")
    ),
]


@st.composite
def mutated_archives(draw: st.DrawFn) -> bytes:
    """A valid archive with a few bytes replaced, inserted or removed."""
    archive = bytearray(draw(st.sampled_from(SEEDS)))
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(archive)))
        removed = draw(st.sampled_from([0, 1, 8, 512, 10_000]))
        archive[start : start + removed] = draw(st.binary(max_size=12))
    return bytes(archive)


@st.composite
def rechecked_headers(draw: st.DrawFn) -> bytes:
    """Headers with arbitrary fields but a valid checksum, so that the fields are checked."""
    entries = []
    for _ in range(draw(st.integers(1, 3))):
        name = draw(st.binary(max_size=100))
        size = draw(st.integers(0, 2000) | st.binary(min_size=12, max_size=12))
        kind = draw(
            st.sampled_from([b"0", b"\0", b"5", b"x", b"g", b"L"]) | st.binary(min_size=1, max_size=1)
        )
        entries.append(
            header(name.ljust(100, b"\0"), size, kind=kind) + draw(st.binary(max_size=60)).ljust(512, b"\0")
        )
    return draw(st.sampled_from(SEEDS))[: draw(st.sampled_from([0, 1024]))] + b"".join(entries) + END


@given(mutated_archives() | rechecked_headers() | st.binary(max_size=2000))
def test_whatever_the_bytes_are_the_answer_is_a_result_or_a_registry_error(archive: bytes) -> None:
    """The check raises no other exception, and its result matches the archive."""
    with tempfile.TemporaryDirectory() as directory, suppress(RegistryError):
        checked = _check(Path(directory) / "upload", archive)
        assert checked.name == checked.manifest.name
