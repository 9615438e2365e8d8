"""If-None-Match, Range and If-Range as pure functions (RFC 9110, 13 and 14)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import RangeNotSatisfiable
from shared.http.conditional import ByteRange, is_not_modified, requested_range

ETAG = f'"{"ab" * 32}"'
OTHER = f'"{"cd" * 32}"'
SIZE = 100

etags = st.text("0123456789abcdef", min_size=1, max_size=64).map(lambda digits: f'"{digits}"')
header_text = st.text(st.characters(min_codepoint=32, max_codepoint=255), max_size=200)
sizes = st.integers(0, 1000)


@pytest.mark.parametrize(
    "lines",
    [
        [ETAG],
        [f"  {ETAG}\t"],
        ["*"],
        [" * "],
        [f"W/{ETAG}"],
        [f"{OTHER}, {ETAG}"],
        [f"{OTHER},W/{ETAG},{OTHER}"],
        [f", ,{ETAG}"],
        [f'"a,b", {ETAG}'],
        [OTHER, ETAG],
        [OTHER, "*"],
        [f'{ETAG[:-1]}-gzip"'],
        [f'W/{ETAG[:-1]}-br"'],
        [f'{ETAG[:-1]};gzip"'],
        [f'{ETAG[:-1]}--gzip"'],
    ],
)
def test_a_named_etag_matches_in_any_list_on_any_line(lines: list[str]) -> None:
    """Lists, repeated lines, `*` and weak tags match; a comma inside a tag does not split it.

    Some proxies append to tags when they compress (Apache: `-gzip`), and send the longer tag back.
    """
    assert is_not_modified(lines, ETAG)


@pytest.mark.parametrize(
    "lines",
    [[], [""], [OTHER], [ETAG.strip('"')], [ETAG[:-1]], [f"w/{OTHER}"], ["**"], [ETAG.upper()], [","]],
)
def test_whatever_does_not_name_the_etag_does_not_match(lines: list[str]) -> None:
    """There is no header, or another tag, or a tag that is unquoted or truncated."""
    assert not is_not_modified(lines, ETAG)


@given(st.lists(header_text))
def test_junk_never_raises_and_never_matches(lines: list[str]) -> None:
    """Only the quoted digest or a lone `*` matches."""
    names_it = any(ETAG in line or line.strip() == "*" for line in lines)
    assert is_not_modified(lines, ETAG) <= names_it


@given(st.lists(etags), st.booleans(), st.lists(etags), etags)
def test_a_list_matches_exactly_when_it_holds_the_etag(
    before: list[str], is_weak: bool, after: list[str], etag: str
) -> None:
    """Weak comparison: `W/` makes no difference."""
    tagged = f"W/{etag}" if is_weak else etag
    assert is_not_modified([", ".join([*before, tagged, *after])], etag)
    others = [tag for tag in (*before, *after) if tag != etag]
    assert not is_not_modified([", ".join(others)], etag)


@pytest.mark.parametrize(
    ("value", "start", "end"),
    [
        ("bytes=0-0", 0, 1),
        ("bytes=0-99", 0, 100),
        ("bytes=0-1000", 0, 100),
        ("bytes=10-19", 10, 20),
        ("bytes=99-", 99, 100),
        ("bytes=0-", 0, 100),
        ("bytes=-1", 99, 100),
        ("bytes=-100", 0, 100),
        ("bytes=-1000", 0, 100),
        ("Bytes=10-19", 10, 20),
        ("bytes= 10-19 ", 10, 20),
    ],
)
def test_one_range_is_answered_with_just_these_bytes(value: str, start: int, end: int) -> None:
    """First to last inclusive, open at the end, or a suffix; cut at the size."""
    assert requested_range(value, None, ETAG, SIZE) == ByteRange(start, end, SIZE)


@pytest.mark.parametrize(
    "value",
    [
        None,
        "",
        "bytes",
        "bytes=",
        "bytes=-",
        "bytes=5-2",
        "bytes=a-b",
        "bytes=1-2,4-5",
        "bytes=1 - 2",
        "bytes=+1-2",
        "bytes=\u00b2-3",
        "lines=0-9",
        "0-9",
        f"bytes={'9' * 30}-",
    ],
)
def test_no_range_or_one_that_is_not_understood_means_the_whole_body(value: str | None) -> None:
    """Unknown units, several ranges and malformed values are ignored, not refused (14.2)."""
    assert requested_range(value, None, ETAG, SIZE) is None


@pytest.mark.parametrize(
    ("value", "size_bytes"), [("bytes=100-", 100), ("bytes=100-200", 100), ("bytes=-0", 100), ("bytes=0-", 0)]
)
def test_a_range_of_which_no_byte_exists_is_416_and_says_the_size(value: str, size_bytes: int) -> None:
    """Section 15.5.17."""
    with pytest.raises(RangeNotSatisfiable) as refused:
        requested_range(value, None, ETAG, size_bytes)
    assert refused.value.headers == {"content-range": f"bytes */{size_bytes}"}


@pytest.mark.parametrize(
    ("if_range", "is_partial"),
    [
        (None, True),
        (ETAG, True),
        (f" {ETAG} ", True),
        (f"W/{ETAG}", False),
        (OTHER, False),
        ("Tue, 15 Nov 1994 12:45:26 GMT", False),
        ("*", False),
        ("", False),
    ],
)
def test_if_range_must_name_this_very_body(if_range: str | None, is_partial: bool) -> None:
    """Strong comparison; without a Last-Modified no date can match (13.1.5)."""
    assert (requested_range("bytes=0-9", if_range, ETAG, SIZE) is not None) is is_partial


def test_a_range_for_another_body_is_not_unsatisfiable() -> None:
    """If-Range is checked first: the reader gets the whole new body, not 416."""
    assert requested_range("bytes=100-", OTHER, ETAG, SIZE) is None


@given(sizes, st.integers(0, 2000), st.one_of(st.none(), st.integers(0, 2000)))
def test_a_range_is_what_slicing_gives(size_bytes: int, first: int, last: int | None) -> None:
    """The bytes of a span equal Python's slice."""
    body = bytes(index % 251 for index in range(size_bytes))
    value = f"bytes={first}-{'' if last is None else last}"
    if last is not None and last < first:
        assert requested_range(value, None, ETAG, size_bytes) is None
    elif first >= size_bytes:
        with pytest.raises(RangeNotSatisfiable):
            requested_range(value, None, ETAG, size_bytes)
    else:
        span = requested_range(value, None, ETAG, size_bytes)
        assert span is not None
        assert body[span.start : span.end] == body[first : None if last is None else last + 1]
        assert span.content_range == f"bytes {first}-{span.end - 1}/{size_bytes}"


@given(header_text, st.one_of(st.none(), header_text), sizes)
def test_no_header_breaks_the_range_rules(value: str, if_range: str | None, size_bytes: int) -> None:
    """For any text the result is a range inside the body, the whole body, or 416."""
    try:
        span = requested_range(value, if_range, ETAG, size_bytes)
    except RangeNotSatisfiable:
        return
    assert span is None or 0 <= span.start < span.end <= size_bytes
