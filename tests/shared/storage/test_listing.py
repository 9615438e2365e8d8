"""Listings: every key once, in byte order, on both back ends."""

from __future__ import annotations

import asyncio
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shared.storage.interface import Storage
from tests.shared.storage.conftest import keys, put

# Characters that sort before and after the slash, where the orders of folders and of whole keys differ.
names = st.text("a-.0", min_size=1, max_size=3).filter(lambda name: name != "." and ".." not in name)
paths = st.lists(names, min_size=1, max_size=3).map("/".join)
trees = st.sets(paths, max_size=7).map(
    lambda paths: {path for path in paths if not any(other.startswith(f"{path}/") for other in paths)}
)


def in_byte_order(keys: set[str]) -> list[str]:
    """The expected listing of these keys."""
    return sorted(keys, key=str.encode)


async def test_keys_come_in_byte_order_not_in_the_order_of_folders(storage: Storage) -> None:
    """A hyphen and a dot sort before the slash, a digit after it."""
    expected = ["a-b/1", "a.b", "a/b", "a/c/d", "a0", "b", "sp ace", "é", "\uffff", "\U0001f600"]
    for key in reversed(expected):
        await put(storage, key)
    assert await keys(storage) == expected


async def test_a_listing_carries_sizes_and_revisions_but_no_digests(storage: Storage) -> None:
    """Apart from digests, a listing has the same metadata as head."""
    await put(storage, "a", b"12345")
    (listed,) = [info async for info in storage.list("")]
    head = await storage.head("a")
    assert head is not None
    assert (listed.key, listed.size_bytes, listed.digest) == ("a", 5, None)
    assert listed.revision == head.revision
    assert abs(listed.modified_at - head.modified_at).total_seconds() < 1


@pytest.mark.parametrize(
    ("prefix", "expected"),
    [
        ("", ["dl/a/1", "dl/ab/1", "index/a"]),
        ("dl/", ["dl/a/1", "dl/ab/1"]),
        ("dl/a", ["dl/a/1", "dl/ab/1"]),
        ("dl/a/", ["dl/a/1"]),
        ("dl/a/1", ["dl/a/1"]),
        ("dl/a/1/", []),
        ("none", []),
        ("../", []),
        ("/", []),
    ],
)
async def test_a_prefix_is_of_the_key_not_of_a_folder(
    storage: Storage, prefix: str, expected: list[str]
) -> None:
    """It may end within a segment."""
    await asyncio.gather(*(put(storage, key) for key in ("dl/a/1", "dl/ab/1", "index/a")))
    assert await keys(storage, prefix) == expected
    assert sorted([info.key async for info in storage.scan(prefix)]) == expected


async def test_a_listing_of_many_pages_has_every_key_once(storage: Storage) -> None:
    """There are more keys than one page holds, of a server or of our own."""
    expected = {f"dl/p{number % 7}-x/{number}" for number in range(1_100)}
    gate = asyncio.Semaphore(16)

    async def put_gently(key: str) -> None:
        async with gate:
            await put(storage, key)

    await asyncio.gather(*map(put_gently, expected))
    assert await keys(storage) == in_byte_order(expected)
    assert await keys(storage, "dl/", after="dl/p3-x/500") == [
        key for key in in_byte_order(expected) if key > "dl/p3-x/500"
    ]


async def test_a_listing_may_be_left_in_the_middle(storage: Storage) -> None:
    """Nothing of it has to be read to its end."""
    await asyncio.gather(*(put(storage, f"a/{number}") for number in range(5)))
    listing = storage.list("")
    assert (await anext(listing)).key == "a/0"
    await listing.aclose()  # type: ignore[attr-defined]
    assert len(await keys(storage)) == 5


@given(tree=trees, prefix=st.text("a-./0", max_size=3), after=st.none() | st.text("a-./0", max_size=5))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_any_tree_lists_by_prefix_and_resumes_behind_any_key(
    storage: Storage, tree: set[str], prefix: str, after: str | None
) -> None:
    """A listing is the sorted keys, filtered."""
    folder = uuid4().hex
    stored = {f"{folder}/{path}" for path in tree}
    await asyncio.gather(*(put(storage, key) for key in stored))
    behind = None if after is None else f"{folder}/{after}"
    expected = [
        key
        for key in in_byte_order(stored)
        if key.startswith(f"{folder}/{prefix}") and (behind is None or key.encode() > behind.encode())
    ]
    assert await keys(storage, f"{folder}/{prefix}", behind) == expected
