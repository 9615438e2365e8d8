"""Paths of pages and keys of their files are inverse to each other, and none is a path of the contract."""

from __future__ import annotations

import pytest

from shared.names import PackageName, parse_index_path, shard_path
from shared.page_paths import STARTS, page_key, page_path

PATHS = (
    "/",
    "/packages/",
    "/packages/~2",
    "/packages/~2/sitemap.xml",
    "/packages/hello",
    "/packages/hello/1.0.0-rc.1+b-1",
    "/packages/hello/1.0.0/files",
    "/packages/hello/versions.atom",
    "/feeds/new.atom",
    "/assets/style.0123456789abcdef.css",
    "/robots.txt",
    "/help",
    "/status",
)
NO_PATHS = (
    "",
    "/packages",
    "/packages/~0",
    "/packages/hello/",
    "/packages/hello/1",
    "/packages/hello/files",
    "/packages/hello/1.0.0/files/",
    "/packages/Hello",
    "/packages/a/../b",
    "/assets/",
    "/assets/..",
    "/assets/a/b.css",
    "/feeds/other.atom",
    "/robots.txt/",
)


@pytest.mark.parametrize("path", PATHS)
def test_a_path_has_one_key_and_the_key_has_that_path(path: str) -> None:
    """So the fast path knows the path of a cached file."""
    key = page_key(path)
    assert key is not None
    assert page_path(key) == path


@pytest.mark.parametrize("path", NO_PATHS)
def test_any_other_path_has_none(path: str) -> None:
    """Storage is not asked for it."""
    assert page_key(path) is None


def test_no_package_has_its_index_file_at_the_path_of_a_page() -> None:
    """At the root of the index host (contract, 3.6), an index path begins with one or two characters."""
    for start in STARTS:
        first = start.decode().split("/")[1]
        assert len(first) > 2
        assert not shard_path(PackageName(first)).startswith(f"{first}/")
    assert parse_index_path("pa/ck/packages") == "packages"
