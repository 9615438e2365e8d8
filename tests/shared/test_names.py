"""Names and handles, and the single path of each index file."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import IndexPathInvalid, RegistryError
from shared.names import PackageName, parse_handle, parse_index_path, parse_name, parse_new_name, shard_path
from shared.publish_errors import InvalidName

NAMES = st.text("abcdefghijklmnopqrstuvwxyz0123456789-_", min_size=1, max_size=200)


@pytest.mark.parametrize("text", ["a", "hello", "x07-ext_db", "0", "-", "_", "9lives", "a" * 4000])
def test_a_name_that_the_old_server_took_is_read(text: str) -> None:
    """Any length, and any allowed character first, are accepted."""
    assert parse_name(text) == text
    assert parse_handle(text) == text


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "empty"),
        ("Hello", "lower-case ASCII"),
        ("h\u00e9llo", "lower-case ASCII"),
        ("\u0661", "lower-case ASCII"),
        ("H.", "lower-case ASCII"),
        ("a.b", "may hold only"),
        ("a/b", "may hold only"),
        ("..", "may hold only"),
        ("a b", "may hold only"),
        ("a\n", "may hold only"),
        ("a\0", "may hold only"),
        ("a@", "may hold only"),
    ],
)
def test_a_name_outside_the_rule_is_refused(text: str, reason: str) -> None:
    """The first violated rule is reported."""
    with pytest.raises(InvalidName, match=reason):
        parse_name(text)
    with pytest.raises(InvalidName, match="handle"):
        parse_handle(text)


@pytest.mark.parametrize("text", ["0a", "-a", "_a", "a" * 129, "", "A"])
def test_a_new_name_follows_the_manifest_schema_too(text: str) -> None:
    """A letter first, 128 bytes at most."""
    with pytest.raises(InvalidName):
        parse_new_name(text)


def test_the_longest_new_name_has_128_bytes() -> None:
    """The limit itself is allowed."""
    assert parse_new_name("a" * 128)


@pytest.mark.parametrize(
    ("name", "path"),
    [("a", "1/a"), ("ab", "2/ab"), ("abc", "3/a/abc"), ("abcd", "ab/cd/abcd"), ("hello", "he/ll/hello")],
)
def test_the_shard_depends_on_the_length_of_the_name(name: str, path: str) -> None:
    """One, two, three, and four or more bytes."""
    assert shard_path(PackageName(name)) == path


@given(NAMES)
def test_a_name_is_read_back_from_its_path(text: str) -> None:
    """Two names never share a path."""
    name = parse_name(text)
    assert parse_index_path(shard_path(name)) == name


@pytest.mark.parametrize(
    ("path", "error"),
    [
        ("", IndexPathInvalid),
        ("he/ll/../Hello", IndexPathInvalid),
        ("he\\ll\\Hello", IndexPathInvalid),
        ("he/ll/", IndexPathInvalid),
        ("he/ll/HELLO/", IndexPathInvalid),
        ("he/ll/Hello", InvalidName),
        ("xx/yy/Hello", InvalidName),
        ("he/ll/hel.lo", InvalidName),
        ("hello", IndexPathInvalid),
        ("he/lo/hello", IndexPathInvalid),
        ("he/ll//hello", IndexPathInvalid),
        ("/he/ll/hello", IndexPathInvalid),
        ("./he/ll/hello", IndexPathInvalid),
        ("3/b/abc", IndexPathInvalid),
        ("1/ab", IndexPathInvalid),
    ],
)
def test_any_other_spelling_of_a_path_is_refused(path: str, error: type[RegistryError]) -> None:
    """In the order of the contract: the path, then the name, then the shard."""
    with pytest.raises(error):
        parse_index_path(path)


@given(st.text(st.characters()))
def test_no_path_raises_anything_but_a_refusal(path: str) -> None:
    """This holds for every decoded URL."""
    with suppress(IndexPathInvalid, InvalidName):
        assert shard_path(parse_index_path(path)) == path
