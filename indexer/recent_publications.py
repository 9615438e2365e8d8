"""Remembers which packages a worker published lately, so that healing checks them again soon.

On S3 a put that is under way can replace a newer file whose body has returned (docs/decisions/0030). S3
refuses a request that was signed more than 15 minutes ago (RequestTimeTooSkewed), so no such put lands later.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Final

from shared.names import PackageName

CHECKED_AFTER_S: Final = (60.0, 960.0)
MAX_REMEMBERED: Final = 20_000


class RecentPublications:
    """Packages by the time of their next check: one a minute after a publication, one after 16 minutes.

    A package that is published again before a check is checked once, after its newest publication. Past
    MAX_REMEMBERED packages the oldest are forgotten; the round over all packages reaches them.
    """

    def __init__(self) -> None:
        self._published: list[dict[PackageName, float]] = [{} for _ in CHECKED_AFTER_S]

    def note(self, names: Iterable[PackageName]) -> None:
        """Remember that these packages were published now."""
        now = time.monotonic()
        for published in self._published:
            for name in names:
                published.pop(name, None)  # so that the newest stands last
                published[name] = now
            while len(published) > MAX_REMEMBERED:
                del published[next(iter(published))]

    def take_due(self, count: int) -> list[PackageName]:
        """At most this many packages whose check is due; they are not returned again for the same check."""
        now, due = time.monotonic(), dict[PackageName, None]()
        for published, after_s in zip(self._published, CHECKED_AFTER_S, strict=True):
            while published and len(due) < count:
                name, at = next(iter(published.items()))
                if now < at + after_s:
                    break
                due[name] = None
                del published[name]
        return list(due)
