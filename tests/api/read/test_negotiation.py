"""Accept-Encoding: weights, wildcards, identity, junk (RFC 9110, 12.5.3)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.read.negotiation import preferred_codings


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ([], ()),
        ([""], ()),
        (["gzip"], ("gzip",)),
        (["GZIP"], ("gzip",)),
        (["x-gzip"], ("gzip",)),
        (["gzip, deflate, br, zstd"], ("zstd", "gzip")),
        (["gzip;q=1.0, zstd;q=0.5"], ("gzip", "zstd")),
        (["gzip", "zstd"], ("zstd", "gzip")),
        (["gzip;q=0"], ()),
        (["gzip;q=0.000, zstd"], ("zstd",)),
        (["gzip;q=0.001"], ("gzip",)),
        (["*"], ("zstd", "gzip")),
        (["*;q=0"], ()),
        (["*;q=0.1, gzip;q=0"], ("zstd",)),
        (["*;q=0, gzip"], ("gzip",)),
        (["identity"], ()),
        (["identity, gzip"], ("gzip",)),
        (["identity;q=1, gzip;q=0.5"], ()),
        (["identity;q=0.5, gzip;q=0.5"], ("gzip",)),
        (["identity;q=0"], ()),
        (["*;q=0.5, gzip;q=0.1"], ("zstd",)),
        (["gzip ; q=0.5 , zstd ;q=0.6"], ("zstd", "gzip")),
        (["gzip;Q=0.5"], ("gzip",)),
        (["gzip;q=2"], ()),
        (["gzip;q=-1"], ()),
        (["gzip;q=0.1234"], ()),
        (["gzip;level=9"], ()),
        (["gzip zstd"], ()),
        (["br, compress"], ()),
        (["gzip;q=0, gzip;q=1"], ()),
    ],
)
def test_the_best_acceptable_codings_in_order(lines: list[str], expected: tuple[str, ...]) -> None:
    """An empty list means identity."""
    assert preferred_codings(lines) == expected


@given(st.lists(st.text(alphabet="gzipstdx*;=q01. ,\t", max_size=40), max_size=3))
def test_no_value_raises_and_nothing_is_chosen_twice(lines: list[str]) -> None:
    """An invalid value means identity."""
    codings = preferred_codings(lines)
    assert len(set(codings)) == len(codings) <= 2


@given(st.text(max_size=200_000))
def test_a_long_value_takes_linear_time(value: str) -> None:
    """Hypothesis' own deadline is the clock."""
    preferred_codings([value])
