"""The versions whose pages are in storage, so that a publish does not render those of all other versions."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final
from uuid import UUID, uuid4

from indexer.rows import VersionRow

KIND: Final = "pages"


class KnownPages:
    """The pages that this process has put since another process built pages.

    They are noted with the row, which is another object once its facts have changed (version_memory.py).
    has_site_files: this process has put the files of the site, which are those of its release and settings.
    """

    def __init__(self) -> None:
        self.has_site_files = False
        self._build: UUID | None = None
        self._series = uuid4()

    def begin(self, build: UUID, before: UUID | None) -> None:
        """Note a build, and the build before it. If that was not ours, its pages may be of other rows."""
        if before is None or before != self._build:
            self._series = uuid4()
        self._build = build

    def has(self, row: VersionRow) -> bool:
        """True if the pages of a version are in storage."""
        return row.memo.get(KIND) == self._series

    def note(self, rows: Iterable[VersionRow]) -> None:
        """Note that the pages of these versions are in storage."""
        for row in rows:
            row.memo[KIND] = self._series
