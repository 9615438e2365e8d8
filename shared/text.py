"""Operations on text whose exact meaning the contract defines (1.4, 1.8)."""

from __future__ import annotations

import re
import string
import unicodedata
from typing import Final

# Unicode White_Space (PropList.txt). `str.strip()` also takes U+001C to U+001F, which are not in it.
WHITE_SPACE = (
    "\t\n\v\f\r \x85\xa0\u1680"
    "\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a"
    "\u2028\u2029\u202f\u205f\u3000"
)

MAX_QUOTED_CHARS = 256

# Control characters, line and paragraph separators, and the bidirectional formatting characters of UAX #9
# (marks, embeddings, overrides, isolates), with the deprecated format characters that follow them.
_MISLEADING = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u206f]")
LINE_ENDS_AND_TABS: Final = "\n\r\t"

_TO_LOWER = str.maketrans(string.ascii_uppercase, string.ascii_lowercase)
_TO_SPACE = str.maketrans(dict.fromkeys(WHITE_SPACE, " "))
_ESCAPES = {"\0": r"\0", "\t": r"\t", "\r": r"\r", "\n": r"\n", '"': r"\"", "\\": r"\\"}


def counted(count: int, noun: str) -> str:
    """A number with its English noun: `1 difference`, `2 differences`, `2 entries`."""
    many = f"{noun.removesuffix('y')}ies" if noun.endswith("y") else f"{noun}s"
    return f"{count} {noun if count == 1 else many}"


def trim(text: str) -> str:
    """The text without Unicode White_Space at both ends."""
    return text.strip(WHITE_SPACE)


def split_words(text: str) -> list[str]:
    """The parts between runs of Unicode White_Space; no empty ones."""
    return [word for word in text.translate(_TO_SPACE).split(" ") if word]


def lower_ascii(text: str) -> str:
    """The text with A-Z lower-cased and every other character left alone."""
    return text.translate(_TO_LOWER)


def cut(text: str, max_bytes: int) -> str:
    """The longest prefix of the text with at most max_bytes bytes in UTF-8; never ends within a character."""
    return text[:max_bytes].encode()[:max_bytes].decode(errors="ignore")


def misleading_character(text: str, *, allowed: str = "") -> str | None:
    """The first character that a terminal or a page shows as something else, as `U+202E`; None if none.

    allowed: control characters that this text may contain, such as line ends.
    """
    found = (match[0] for match in _MISLEADING.finditer(text) if match[0] not in allowed)
    return next((f"U+{ord(character):04X}" for character in found), None)


def listed(text: str, max_bytes: int) -> str:
    """The text as listings show it: cut, with U+FFFD for each misleading character but line ends and tabs.

    In JSON it has at most two bytes for each of max_bytes.
    """
    if text.isascii() and text.isprintable():
        return text[:max_bytes]
    return cut(honest(cut(text, max_bytes)), max_bytes)


def honest(text: str) -> str:
    """The text with U+FFFD for each misleading character but line ends and tabs."""
    return _MISLEADING.sub(lambda found: found[0] if found[0] in LINE_ENDS_AND_TABS else "\ufffd", text)


def rust_quote(text: str) -> str:
    """The text as Rust's `{:?}` prints it, which is how messages quote a value.

    The result is always printable.

    A text longer than MAX_QUOTED_CHARS is cut and followed by `…`, so that answers stay small.

    """
    quoted = f'"{"".join(map(_escape, text[:MAX_QUOTED_CHARS]))}"'
    return quoted if len(text) <= MAX_QUOTED_CHARS else f"{quoted}…"


def _escape(character: str) -> str:
    if character in _ESCAPES:
        return _ESCAPES[character]
    if character.isprintable() and unicodedata.category(character) not in ("Mn", "Me"):
        return character
    return f"\\u{{{ord(character):x}}}"
