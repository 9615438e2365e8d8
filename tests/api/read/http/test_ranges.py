"""Ranges of archives, from memory and as a stream (RFC 9110, 14)."""

from __future__ import annotations

import pytest

from tests.api.read.http.reading import (
    ARCHIVE_KEY,
    ARCHIVE_PATH,
    BODIES,
    INDEX_KEY,
    INDEX_PATH,
    LARGE_BODY,
    LARGE_PATH,
    Reading,
    etag_of,
)

SMALL_BODY = BODIES[ARCHIVE_KEY]
each_archive = pytest.mark.parametrize(
    ("path", "body"), [(ARCHIVE_PATH, SMALL_BODY), (LARGE_PATH, LARGE_BODY)]
)


@each_archive
@pytest.mark.parametrize(
    ("value", "start", "end"),
    [
        ("bytes=0-0", 0, 1),
        ("bytes=100-199", 100, 200),
        ("bytes=10000-", 10000, None),
        ("bytes=-77", -77, None),
        ("bytes=0-999999999", 0, None),
        ("bytes=5000-9999999999", 5000, None),
    ],
)
async def test_a_range_is_answered_with_206(
    tier: Reading, path: str, body: bytes, value: str, start: int, end: int | None
) -> None:
    """Exactly these bytes, with the size of the whole."""
    answer = await tier.http.get(path, headers={"range": value})
    expected = body[start:end]
    first = len(body) + start if start < 0 else start
    assert (answer.status_code, answer.content) == (206, expected)
    assert answer.headers["content-range"] == f"bytes {first}-{first + len(expected) - 1}/{len(body)}"
    assert answer.headers["content-length"] == str(len(expected))
    assert answer.headers["etag"] == etag_of(body)
    assert answer.headers["content-type"] == "application/octet-stream"


@each_archive
async def test_the_pieces_of_an_archive_make_the_archive(tier: Reading, path: str, body: bytes) -> None:
    """An interrupted download can continue like this."""
    middle = len(body) // 3
    etag = (await tier.http.head(path)).headers["etag"]
    headers = [{"range": f"bytes=0-{middle - 1}"}, {"range": f"bytes={middle}-", "if-range": etag}]
    pieces = [await tier.http.get(path, headers=one) for one in headers]
    assert [piece.status_code for piece in pieces] == [206, 206]
    assert b"".join(piece.content for piece in pieces) == body


@each_archive
async def test_a_range_behind_the_end_is_416_and_says_the_size(tier: Reading, path: str, body: bytes) -> None:
    """The body is JSON, and the answer has nothing that a cache would keep."""
    answer = await tier.http.get(path, headers={"range": f"bytes={len(body)}-"})
    assert (answer.status_code, answer.json()["code"]) == (416, "X07REG_RANGE_NOT_SATISFIABLE")
    assert answer.headers["content-range"] == f"bytes */{len(body)}"
    assert not {"etag", "cache-control"} & set(answer.headers)


@each_archive
@pytest.mark.parametrize(
    "headers",
    [
        {"range": "bytes=0-1,4-5"},
        {"range": "lines=0-1"},
        {"range": "bytes=9-1"},
        {"range": "nonsense"},
        {"range": "bytes=0-9", "if-range": f'"{"0" * 64}"'},
        {"range": "bytes=0-9", "if-range": "Tue, 15 Nov 1994 12:45:26 GMT"},
    ],
)
async def test_what_is_no_single_range_of_this_body_gets_all_of_it(
    tier: Reading, path: str, body: bytes, headers: dict[str, str]
) -> None:
    """Several ranges, unknown units, and ranges of another body."""
    answer = await tier.http.get(path, headers=headers)
    assert (answer.status_code, answer.content) == (200, body)
    assert "content-range" not in answer.headers


async def test_a_range_of_a_body_that_the_reader_has_is_304(fs_tier: Reading) -> None:
    """If-None-Match comes first (13.2.2)."""
    headers = {"range": "bytes=0-9", "if-none-match": etag_of(SMALL_BODY)}
    assert (await fs_tier.http.get(ARCHIVE_PATH, headers=headers)).status_code == 304


async def test_head_ignores_ranges(fs_tier: Reading) -> None:
    """They are defined for GET alone (14.2)."""
    answer = await fs_tier.http.head(ARCHIVE_PATH, headers={"range": "bytes=0-9"})
    assert (answer.status_code, answer.headers["content-length"]) == (200, str(len(SMALL_BODY)))


async def test_index_files_have_no_ranges(fs_tier: Reading) -> None:
    """Part of an NDJSON file would be useless."""
    answer = await fs_tier.http.get(INDEX_PATH, headers={"range": "bytes=0-9"})
    assert (answer.status_code, answer.content) == (200, BODIES[INDEX_KEY])
    assert "accept-ranges" not in answer.headers
