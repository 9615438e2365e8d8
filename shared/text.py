"""The few operations on text whose exact meaning the contract fixes (1.4, 1.8)."""

from __future__ import annotations

import string
import unicodedata

# Unicode White_Space (PropList.txt). `str.strip()` also takes U+001C to U+001F, which are not in it.
WHITE_SPACE = (
    "\t\n\v\f\r \x85\xa0\u1680"
    "\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a"
    "\u2028\u2029\u202f\u205f\u3000"
)

MAX_QUOTED_CHARS = 256

_TO_LOWER = str.maketrans(string.ascii_uppercase, string.ascii_lowercase)
_TO_SPACE = str.maketrans(dict.fromkeys(WHITE_SPACE, " "))
_ESCAPES = {"\0": r"\0", "\t": r"\t", "\r": r"\r", "\n": r"\n", '"': r"\"", "\\": r"\\"}


def trim(text: str) -> str:
    """The text without Unicode White_Space at both ends."""
    return text.strip(WHITE_SPACE)


def split_words(text: str) -> list[str]:
    """The parts between runs of Unicode White_Space; no empty ones."""
    return [word for word in text.translate(_TO_SPACE).split(" ") if word]


def lower_ascii(text: str) -> str:
    """The text with A-Z lower-cased and every other character left alone."""
    return text.translate(_TO_LOWER)


def rust_quote(text: str) -> str:
    """The text as Rust's `{:?}` prints it: how messages quote a value. Printable, whatever came in.

    Of a text over MAX_QUOTED_CHARS the beginning is quoted, followed by `…`: answers stay small.
    """
    quoted = f'"{"".join(map(_escape, text[:MAX_QUOTED_CHARS]))}"'
    return quoted if len(text) <= MAX_QUOTED_CHARS else f"{quoted}…"


def _escape(character: str) -> str:
    if character in _ESCAPES:
        return _ESCAPES[character]
    if character.isprintable() and unicodedata.category(character) not in ("Mn", "Me"):
        return character
    return f"\\u{{{ord(character):x}}}"
