"""Remembers how many names contain a text, for as long as the set of names stays the same.

Counting the hits of a frequent text reads every name that contains it, and some texts (`ext-`) are searched
all the time. The totals are exact: every change of the set of names has a number, and a total is used only
for the number at which it was counted.
"""

from __future__ import annotations

from typing import Final

MAX_KEPT: Final = 1000
WORTH_KEEPING: Final = 1000
UNKNOWN: Final = -1


class KeptTotals:
    """The totals that this process remembers, at most MAX_KEPT."""

    def __init__(self) -> None:
        self._change = 0
        self._totals: dict[tuple[str, bool], int] = {}

    def get(self, text: str, *, scale_tested: bool) -> tuple[int, int]:
        """The change number for which totals are remembered, and the total; -1 if it must be counted."""
        return self._change, self._totals.get((text, scale_tested), UNKNOWN)

    def keep(self, change: int, text: str, *, scale_tested: bool, total: int) -> None:
        """Remember a total counted at this change number, unless it is small and so cheap to count."""
        if change > self._change:
            self._change = change
            self._totals.clear()
        if change == self._change and total >= WORTH_KEEPING and len(self._totals) < MAX_KEPT:
            self._totals[text, scale_tested] = total
