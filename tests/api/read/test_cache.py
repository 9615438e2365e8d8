"""The cache: bounded in bytes, evicts with a second chance, and knows its size."""

from __future__ import annotations

import gc
import hashlib
import os
import tracemalloc
from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from api.read.cache import BlobCache, CachedBlob
from api.read.representation import Representation
from shared.storage.interface import BlobInfo, Found

KEYS = st.sampled_from([f"index/aa/bb/aabb{number}" for number in range(8)])


def blob(key: str, size_bytes: int, *, has_body: bool = True) -> CachedBlob:
    """A blob with a body of its own, or a described one."""
    body = os.urandom(size_bytes)
    digest = hashlib.sha256(body).hexdigest()
    info = BlobInfo(key, size_bytes, digest, None, f"revision-{digest[:8]}", datetime.now(UTC))
    return CachedBlob(
        Representation.of(Found(info, body)) if has_body else Representation.described(info), 0.0
    )


@given(st.lists(st.tuples(st.sampled_from(["put", "grow", "remove", "get"]), KEYS, st.integers(0, 9000))))
def test_whatever_is_done_it_stays_within_its_bound_and_counts_right(
    steps: list[tuple[str, str, int]],
) -> None:
    """The counted size is the sum of all entries, and keys that were reported as removed are gone."""
    cache, removed = BlobCache(30_000), []
    cache.on_removed = removed.append
    held: dict[str, CachedBlob] = {}
    for step, key, size_bytes in steps:
        match step:
            case "put":
                held[key] = blob(key, size_bytes)
                cache.put(key, held[key])
            case "grow" if (known := cache.peek(key)) is not None:
                known.variants["gzip"] = blob(key, size_bytes // 2).identity
                cache.put(key, known)
            case "remove":
                cache.remove(key)
            case _:
                cache.get(key)
        present = {name: entry for name in held if (entry := cache.peek(name)) is not None}
        assert all(held[name] is entry for name, entry in present.items())
        assert cache.size_bytes == sum(entry.size_bytes + len(name) for name, entry in present.items())
        assert cache.size_bytes <= 30_000


def test_a_blob_that_was_used_outlives_one_that_was_not() -> None:
    """Eviction by second chance removes the oldest unused entry first."""
    cache = BlobCache(20_000)
    for name in ("a", "b", "c"):
        cache.put(name, blob(name, 3000))
    cache.get("a")
    cache.put("d", blob("d", 3000))
    assert [name for name in "abcd" if cache.peek(name) is not None] == ["a", "c", "d"]


def test_a_cache_of_used_blobs_still_evicts() -> None:
    """An entry's second chance is used up once, so eviction ends."""
    cache = BlobCache(20_000)
    for name in ("a", "b", "c", "d", "e", "f"):
        cache.put(name, blob(name, 3000))
        for other in "abcdef":
            cache.get(other)
    assert cache.size_bytes <= 20_000
    assert cache.peek("f") is not None


def test_a_blob_over_the_bound_is_not_kept_and_its_older_self_neither() -> None:
    """An old body must not come back because the new one is too big."""
    cache = BlobCache(20_000)
    cache.put("a", blob("a", 100))
    cache.put("a", blob("a", 50_000))
    assert cache.peek("a") is None
    assert cache.size_bytes == 0


def test_a_replaced_blob_is_told_removed_and_a_grown_one_is_not() -> None:
    """Data derived from a blob is dropped with it, and only then."""
    cache, removed = BlobCache(100_000), []
    cache.on_removed = removed.append
    first = blob("a", 100)
    cache.put("a", first)
    first.variants["gzip"] = blob("a", 50).identity
    cache.put("a", first)
    assert removed == []
    cache.put("a", blob("a", 100))
    assert removed == ["a"]


def test_an_entry_costs_no_more_memory_than_it_counts_for() -> None:
    """Measured: objects, keys, validators and body, without the heads that the fast path prebuilds."""
    cache = BlobCache(1 << 30)
    gc.collect()
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    for number in range(2000):
        key = f"index/aa/bb/aabb-a-name-of-common-length-{number}"
        cache.put(key, blob(key, 700))
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert after - before <= cache.size_bytes
