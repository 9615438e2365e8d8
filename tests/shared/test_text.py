"""Text rules of the contract: trimming, lower case, quoting."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.text import (
    WHITE_SPACE,
    cut,
    lower_ascii,
    misleading_character,
    rust_quote,
    split_words,
    trim,
)


def test_white_space_is_the_25_characters_of_unicode() -> None:
    """PropList.txt lists this many; the property has not changed since Unicode 6.3."""
    assert len(set(WHITE_SPACE)) == len(WHITE_SPACE) == 25


def test_only_white_space_is_trimmed() -> None:
    """U+001C to U+001F and U+200B stay, unlike with str.strip or in a browser."""
    assert trim(f"{WHITE_SPACE}\x1ca b\x1f{WHITE_SPACE}") == "\x1ca b\x1f"
    assert trim("\u200b") == "\u200b"


@given(st.text())
def test_white_space_is_what_str_strip_takes_but_for_four_separators(text: str) -> None:
    """Otherwise the standard library agrees."""
    if not set("\x1c\x1d\x1e\x1f") & set(text):
        assert trim(text) == text.strip()
        assert split_words(text) == text.split()


def test_lower_case_is_for_ascii_letters() -> None:
    """The Kelvin sign and the dotted I do not become ASCII."""
    assert lower_ascii("AZ-\u212a\u0130Ä") == "az-\u212a\u0130Ä"


@pytest.mark.parametrize(
    ("text", "quoted"),
    [
        ("hello", '"hello"'),
        ('say "hi"', r'"say \"hi\""'),
        ("back\\slash", r'"back\\slash"'),
        ("it's", '"it\'s"'),
        ("\0\t\r\n", r'"\0\t\r\n"'),
        ("\x1b[0m", r'"\u{1b}[0m"'),
        ("caf\u00e9 \U0001f600", '"caf\u00e9 \U0001f600"'),
        ("e\u0301", r'"e\u{301}"'),
        ("\u00a0\u200b\ue000", r'"\u{a0}\u{200b}\u{e000}"'),
    ],
)
def test_values_are_quoted_as_rust_prints_them(text: str, quoted: str) -> None:
    """The form is that of `{:?}` for a str."""
    assert rust_quote(text) == quoted


@given(st.text(st.characters()))
def test_a_quoted_value_is_one_printable_line(text: str) -> None:
    """A hostile value cannot forge a log line or break an answer."""
    quoted = rust_quote(text)
    assert quoted.isprintable()
    assert quoted.encode()


def test_a_long_value_is_cut() -> None:
    """An answer does not repeat megabytes of a request."""
    assert rust_quote("a" * 256) == f'"{"a" * 256}"'
    assert rust_quote("a" * 257) == f'"{"a" * 256}"…'


@given(st.text(st.characters(exclude_categories=("Cs",))), st.integers(0, 40))
def test_a_text_is_cut_at_a_character(text: str, max_bytes: int) -> None:
    """The result is the longest prefix that fits."""
    beginning = cut(text, max_bytes)
    assert text.startswith(beginning)
    assert len(beginning.encode()) <= max_bytes
    assert beginning == text or len(text[: len(beginning) + 1].encode()) > max_bytes


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", None),
        ("a b\u00a0\u05d0\u200b\U0001f600", None),
        ("a\tb", "U+0009"),
        ("\u2066", "U+2066"),
        ("\x9f", "U+009F"),
    ],
)
def test_a_misleading_character_is_named(text: str, found: str | None) -> None:
    """Control and bidirectional formatting characters mislead; letters of right-to-left scripts do not."""
    assert misleading_character(text) == found
    assert misleading_character("a\tb\u202e", allowed="\t") == "U+202E"
