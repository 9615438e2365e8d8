"""How many names contain a text, remembered while the set of names stays the same.

Counting a frequent text costs a look at each name that holds it; a few texts (`ext-`) are asked for all
the time. Exact: every change of the set has a number, and the totals of another number are forgotten.
"""

from __future__ import annotations

from typing import Final

MAX_KEPT: Final = 1000
WORTH_KEEPING: Final = 1000


class KeptTotals:
    """Totals of this process, at most MAX_KEPT."""

    def __init__(self) -> None:
        self._change = 0
        self._totals: dict[tuple[str, bool], int] = {}

    def get(self, change: int, text: str, *, scale_tested: bool) -> int | None:
        """The total at this change, None if it has to be counted. change: of the snapshot that asks."""
        return self._totals.get((text, scale_tested)) if change == self._change else None

    def keep(self, change: int, text: str, *, scale_tested: bool, total: int) -> None:
        """Remember a total that was counted in a snapshot with this change; small ones are not worth it."""
        if change > self._change:
            self._change = change
            self._totals.clear()
        if change == self._change and total >= WORTH_KEEPING and len(self._totals) < MAX_KEPT:
            self._totals[text, scale_tested] = total
