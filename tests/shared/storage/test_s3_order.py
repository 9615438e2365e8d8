"""Listings in folder order are put into byte order, one family of keys at a time."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.storage.s3_order import in_byte_order, start_before

keys = st.sets(st.lists(st.text("a-.0é", min_size=1, max_size=3), min_size=1, max_size=3).map("/".join))


@dataclass(frozen=True)
class Listed:
    """A key of a listing."""

    key: str


async def pages(listing: list[str], size: int) -> AsyncIterator[list[Listed]]:
    """A listing in a server's form."""
    for start in range(0, len(listing), size):
        yield [Listed(key) for key in listing[start : start + size]]


def by_bytes(key: str) -> bytes:
    """The order of S3."""
    return key.encode()


def by_segments(key: str) -> list[bytes]:
    """The order of a server that walks folders."""
    return [segment.encode() for segment in key.split("/")]


@pytest.mark.parametrize("order", [by_bytes, by_segments])
@pytest.mark.parametrize("prefix", ["", "dl/", "dl/x"])
@given(keys=keys, size=st.integers(1, 4))
async def test_either_order_becomes_byte_order(order: object, prefix: str, keys: set[str], size: int) -> None:
    """No key is lost, doubled or misplaced, wherever pages end."""
    listing = sorted((f"{prefix}{key}" for key in keys), key=order)  # type: ignore[call-overload]
    listed = [blob.key async for blob in in_byte_order(pages(listing, size), prefix)]
    assert listed == sorted(listing, key=by_bytes)


@pytest.mark.parametrize("order", [by_bytes, by_segments])
@given(keys=keys, after=st.text("a-.0é/", max_size=6))
def test_nothing_behind_a_key_is_before_the_start_of_its_listing(
    order: object, keys: set[str], after: str
) -> None:
    """This holds in both orders, so that a listing can be resumed."""
    start = start_before(after)
    wanted = [key for key in keys if by_bytes(key) > by_bytes(after)]
    assert all(order(key) > order(start) for key in wanted)  # type: ignore[operator]


@pytest.mark.parametrize(
    ("after", "start"),
    [
        ("dl/foo/1.0.0/download", "dl/foo/"),
        ("index/he/ll/hello-world", "index/he/ll/hell"),
        ("index/he/ll/hello", "index/he/ll/hell"),
        ("dl/-x", "dl/"),
        ("", ""),
    ],
)
def test_a_listing_starts_close_to_where_it_resumes(after: str, start: str) -> None:
    """Only the key's family is read again."""
    assert start_before(after) == start
