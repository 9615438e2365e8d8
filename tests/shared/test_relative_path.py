"""Clean paths inside an archive."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.relative_path import parse_relative_path


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("modules", "modules"),
        ("modules/", "modules"),
        ("a//b/./c", "a/b/c"),
        ("..a/b..", "..a/b.."),
        (".hidden/a", ".hidden/a"),
        ("a\\..\\b", "a\\..\\b"),
        (" ", " "),
    ],
)
def test_a_clean_path_is_compared_by_components(text: str, path: str) -> None:
    """Repeated slashes, inner dots and a trailing slash do not matter."""
    assert parse_relative_path(text) == path


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "empty"),
        ("/", "absolute"),
        ("/etc", "absolute"),
        ("//a", "absolute"),
        (".", "starts"),
        ("./a", "starts"),
        ("..", "contains"),
        ("../a", "contains"),
        ("a/../b", "contains"),
        ("a/..", "contains"),
    ],
)
def test_a_path_that_may_leave_the_archive_is_refused(text: str, reason: str) -> None:
    """So is a path that stays inside only in another spelling."""
    with pytest.raises(ValueError, match=reason):
        parse_relative_path(text)


@given(st.text("./a", max_size=12))
def test_a_clean_path_is_its_own_spelling(text: str) -> None:
    """Parsing again changes nothing, and no component is empty, `.` or `..`."""
    try:
        path = parse_relative_path(text)
    except ValueError:
        return
    assert parse_relative_path(path) == path
    assert not {"", ".", ".."} & set(path.split("/"))
