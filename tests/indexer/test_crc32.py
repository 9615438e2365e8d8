"""Checksums combined from parts are those that zlib computes of the whole."""

from __future__ import annotations

import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from indexer.crc32 import combined, shift_of


@given(parts=st.lists(st.binary(max_size=3000), max_size=8))
def test_the_checksum_of_parts_is_that_of_the_whole(parts: list[bytes]) -> None:
    """Empty parts change nothing."""
    checksum = 0
    for part in parts:
        checksum = combined(checksum, zlib.crc32(part), shift_of(len(part)))
    assert checksum == zlib.crc32(b"".join(parts))


@pytest.mark.parametrize("length", [1, 255, 65_536, 1 << 20, (1 << 24) + 7])
def test_long_parts_are_combined_too(length: int) -> None:
    """Every bit of the length counts."""
    first, second = b"a catalog", b"\0" * length
    expected = zlib.crc32(second, zlib.crc32(first))
    assert combined(zlib.crc32(first), zlib.crc32(second), shift_of(length)) == expected
