"""What the lists of packages show, from rows."""

from __future__ import annotations

from dataclasses import dataclass

from shared.names import PackageName
from shared.versions import VersionText


@dataclass(frozen=True, slots=True)
class Listed:
    """One package of a list. page: the number of its page, counted from 1."""

    page: int
    name: PackageName
    latest_version: VersionText | None
    description: str | None
    is_official: bool
