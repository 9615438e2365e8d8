"""Patterns for LIKE that match text literally."""

from __future__ import annotations

import re
from typing import Final

_SPECIAL: Final = re.compile(r"[\\%_]")


def containing(text: str) -> str:
    r"""The pattern for what contains the text: `50%_` gives `%50\%\_%` (a backslash escapes in LIKE)."""
    literal = _SPECIAL.sub(r"\\\g<0>", text)
    return f"%{literal}%"
