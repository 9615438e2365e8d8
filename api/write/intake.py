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
        self._taken = 0
        self._share = -(-places // 2)
        self._shares: Counter[UUID | str | None] = Counter()

    @contextmanager
    def place(self, credential: str | None) -> Iterator[None]:
        """A place for one publish, from before it is known who asks until it is answered. Raises Unavailable.

        A refusal that first waited for the database would be late, and hold up those who have a place.
        credential: a hash of what the sender shows; one is one publisher's.
        """
        if self._taken >= self._places:
            raise _refusal()
        with self.share(credential):
            self._taken += 1
            try:
                yield
            finally:
                self._taken -= 1

    @contextmanager
    def share(self, publisher: UUID | str | None) -> Iterator[None]:
        """Whose place it is, as soon as that is known. Raises Unavailable."""
        if self._shares[publisher] >= self._share:
            raise _refusal()
        self._shares[publisher] += 1
        try:
            yield
        finally:
            self._shares[publisher] -= 1
            if not self._shares[publisher]:
                del self._shares[publisher]


def _refusal() -> Unavailable:
    PUBLISHES_REFUSED.inc()
    return Unavailable("too many publishes at once, try again", retry_after_s=RETRY_AFTER_S)
