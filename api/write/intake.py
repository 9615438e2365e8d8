"""Publishes in progress, bounded: the rest is refused at once, so that what is taken ends in time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final
from uuid import UUID

from api.write.metrics import PUBLISHES_REFUSED
from shared.errors import Unavailable

RETRY_AFTER_S: Final = 2


class Intake:
    """Of one write process. One publisher has half of the places at most, with any number of connections."""

    def __init__(self, places: int) -> None:
        """places: publishes at once, uploads included; at least 1."""
        self._places = places
        self._share = -(-places // 2)
        self._taken: Counter[UUID] = Counter()

    @contextmanager
    def place(self, publisher: UUID) -> Iterator[None]:
        """A place for one publish, from before its body is read until it is answered. Raises Unavailable."""
        if self._taken.total() >= self._places or self._taken[publisher] >= self._share:
            PUBLISHES_REFUSED.inc()
            raise Unavailable("too many publishes at once, try again", retry_after_s=RETRY_AFTER_S)
        self._taken[publisher] += 1
        try:
            yield
        finally:
            self._taken[publisher] -= 1
            if not self._taken[publisher]:
                del self._taken[publisher]
