"""Answers for blobs: bodies, headers and conditional requests (contract, 1.3 and 1.7)."""

from __future__ import annotations

import re

import pytest

from shared.blobs import CATALOG_KEY, CONFIG_KEY
from tests.api.read.http.reading import (
    ARCHIVE_KEY,
    ARCHIVE_PATH,
    BODIES,
    INDEX_KEY,
    INDEX_PATH,
    LARGE_BODY,
    LARGE_KEY,
    LARGE_PATH,
    METADATA_KEY,
    METADATA_PATH,
    Reading,
    etag_of,
)

INDEX_MAX_AGE = "public, max-age=300"
IMMUTABLE = "public, max-age=31536000, immutable"
ANSWERS = [
    ("/index/config.json", CONFIG_KEY, "application/json", INDEX_MAX_AGE),
    ("/index/catalog.json", CATALOG_KEY, "application/json", INDEX_MAX_AGE),
    (INDEX_PATH, INDEX_KEY, "application/x-ndjson", INDEX_MAX_AGE),
    (METADATA_PATH, METADATA_KEY, "application/json", "public, max-age=3600"),
    (ARCHIVE_PATH, ARCHIVE_KEY, "application/octet-stream", IMMUTABLE),
    (LARGE_PATH, LARGE_KEY, "application/octet-stream", IMMUTABLE),
]
ALL_BODIES = {**BODIES, LARGE_KEY: LARGE_BODY}
UNKNOWN_TAG = f'"{"0" * 64}"'

each_blob = pytest.mark.parametrize(("path", "key", "content_type", "cache_control"), ANSWERS)


@each_blob
async def test_every_blob_has_its_body_type_and_validators(
    tier: Reading, path: str, key: str, content_type: str, cache_control: str
) -> None:
    """The first answer comes from storage, the second from memory; both are the same."""
    for _ in range(2):
        answer = await tier.http.get(path)
        assert (answer.status_code, answer.content) == (200, ALL_BODIES[key])
        assert answer.headers["content-type"] == content_type
        assert answer.headers["cache-control"] == cache_control
        assert answer.headers["etag"] == etag_of(ALL_BODIES[key])
        assert answer.headers["content-length"] == str(len(ALL_BODIES[key]))
        assert re.fullmatch("[0-9a-f]{32}", answer.headers["x-request-id"])
        assert not {"server", "last-modified", "x-x07-stale"} & set(answer.headers)


@each_blob
async def test_head_tells_what_get_would_send(
    tier: Reading, path: str, key: str, content_type: str, cache_control: str
) -> None:
    """This also holds before the body was ever loaded."""
    before = await tier.http.head(path)
    get = await tier.http.get(path)
    after = await tier.http.head(path)
    for head in (before, after):
        assert (head.status_code, head.content) == (200, b"")
        assert comparable(head.headers) == comparable(get.headers)


@each_blob
@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_a_reader_that_has_the_body_gets_304(
    tier: Reading, path: str, key: str, content_type: str, cache_control: str, method: str
) -> None:
    """The ETag may be in a list, a weak tag or a `*`, on any header line.

    A 304 has no body, type or length.
    """
    etag = etag_of(ALL_BODIES[key])
    for value in (etag, f"W/{etag}", f"{UNKNOWN_TAG}, {etag}", "*"):
        answer = await tier.http.request(method, path, headers={"if-none-match": value})
        assert (answer.status_code, answer.content) == (304, b"")
        assert (answer.headers["etag"], answer.headers["cache-control"]) == (etag, cache_control)
        assert not {"content-type", "content-length"} & set(answer.headers)
    lines = [("if-none-match", UNKNOWN_TAG), ("if-none-match", etag)]
    assert (await tier.http.request(method, path, headers=lines)).status_code == 304


@each_blob
async def test_a_reader_that_has_another_body_gets_this_one(
    tier: Reading, path: str, key: str, content_type: str, cache_control: str
) -> None:
    """An unknown tag does not match, and neither does a tag without quotes."""
    for value in (UNKNOWN_TAG, etag_of(ALL_BODIES[key]).strip('"')):
        answer = await tier.http.get(path, headers={"if-none-match": value})
        assert (answer.status_code, answer.content) == (200, ALL_BODIES[key])


@pytest.mark.parametrize("path", [INDEX_PATH, ARCHIVE_PATH, METADATA_PATH, "/index/config.json"])
@pytest.mark.parametrize("value", ["Bearer revoked", "Bearer", "Basic !!", "\xff", ""])
async def test_no_authorization_header_ever_matters(fs_tier: Reading, path: str, value: str) -> None:
    """Command lines send their token, revoked or not, with every read."""
    answer = await fs_tier.http.get(path, headers=[(b"authorization", value.encode("latin-1"))])
    assert answer.status_code == 200


async def test_archives_are_not_sniffed(fs_tier: Reading) -> None:
    """Browsers must not interpret an upload as a page (weakness 32)."""
    answer = await fs_tier.http.get(ARCHIVE_PATH)
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["accept-ranges"] == "bytes"


@pytest.mark.parametrize("path", ["/index/ne/w-/new-one", "/v1/packages/hello/9.9.9/download", "/nope"])
async def test_errors_are_not_cached_by_anybody(fs_tier: Reading, path: str) -> None:
    """They have no cache-control and no ETag, so that a new package is visible at once."""
    answer = await fs_tier.http.get(path, headers={"if-none-match": "*"})
    assert answer.status_code == 404
    assert not {"etag", "cache-control"} & set(answer.headers)


def comparable(headers: object) -> dict[str, str]:
    """Headers without those that differ from one answer to the next."""
    return {name: value for name, value in dict(headers).items() if name not in ("date", "x-request-id")}  # type: ignore[call-overload]
