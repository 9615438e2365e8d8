"""Paths of the transparency log's files below its prefix (c2sp.org/tlog-tiles)."""

from __future__ import annotations

import re
from typing import Final

CHECKPOINT_PATH: Final = "checkpoint"
ENTRIES: Final = "entries"
TILE_PATH: Final = re.compile(
    r"tile/(?P<level>entries|0|[1-9][0-9]?)/(?P<index>(?:x[0-9]{3}/)*[0-9]{3})(?:\.p/(?P<width>[1-9][0-9]{0,2}))?",
    re.ASCII,
)
"""The path of a tile or an entry bundle; a width makes it partial. Some matches are not paths of a tile."""


def is_full_bundle(path: str) -> bool:
    """True for a full entry bundle, which is big, and has compressed variants."""
    match = TILE_PATH.fullmatch(path)
    return match is not None and match["level"] == ENTRIES and match["width"] is None
