"""Patterns of LIKE that match text literally."""

from __future__ import annotations

import re
from typing import Final

_SPECIAL: Final = re.compile(r"[\\%_]")


def containing(text: str) -> str:
    r"""The pattern of what contains the text: `50%_` gives `%50\%\_%` (backslash is LIKE's escape)."""
    literal = _SPECIAL.sub(r"\\\g<0>", text)
    return f"%{literal}%"
