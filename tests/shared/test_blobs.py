"""Keys of the published tree and their content types."""

from __future__ import annotations

import pytest

from shared.blobs import (
    CATALOG_KEY,
    CONFIG_KEY,
    archive_key,
    content_type_of,
    index_key,
    metadata_key,
    new_upload_id,
    parse_staging_key,
    staging_key,
)
from shared.names import PackageName, shard_path
from shared.versions import VersionText

HELLO = PackageName("hello")
VERSION = VersionText("0.1.0-rc.1+build")


@pytest.mark.parametrize(
    ("key", "expected", "content_type"),
    [
        (index_key(HELLO), "index/he/ll/hello", "application/x-ndjson"),
        (archive_key(HELLO, VERSION), "dl/hello/0.1.0-rc.1+build/download", "application/octet-stream"),
        (metadata_key(HELLO, VERSION), "dl/hello/0.1.0-rc.1+build/metadata", "application/json"),
        (staging_key("ab" * 32, None), f"staging/{'ab' * 32}", "application/octet-stream"),
        (staging_key("ab" * 32, "cd" * 16), f"staging/{'ab' * 32}-{'cd' * 16}", "application/octet-stream"),
        (CATALOG_KEY, "index/catalog.json", "application/json"),
        (CONFIG_KEY, "index/config.json", "application/json"),
    ],
)
def test_each_blob_has_its_key_and_content_type(key: str, expected: str, content_type: str) -> None:
    """The tree is the architecture's, the types are the contract's (1.3)."""
    assert key == expected
    assert content_type_of(key) == content_type


def test_staging_keys_say_what_they_are_of() -> None:
    """Keys of this release and of older ones; nothing else is an upload."""
    sha256, upload_id = "ab" * 32, new_upload_id()
    assert parse_staging_key(staging_key(sha256, upload_id)) == (sha256, upload_id)
    assert parse_staging_key(staging_key(sha256, None)) == (sha256, None)
    for other in (f"staging/{sha256}-", f"staging/{sha256}/{upload_id}", "staging/probe", f"dl/{sha256}"):
        assert parse_staging_key(other) is None
    assert new_upload_id() != upload_id


@pytest.mark.parametrize("name", ["download", "metadata", "config", "catalog", "dl", "staging"])
def test_a_package_named_like_a_part_of_the_tree_does_not_collide(name: str) -> None:
    """An index file is at least one folder below index/."""
    package = PackageName(name)
    assert index_key(package) == f"index/{shard_path(package)}"
    assert content_type_of(index_key(package)) == "application/x-ndjson"
    assert content_type_of(archive_key(package, VERSION)) == "application/octet-stream"
