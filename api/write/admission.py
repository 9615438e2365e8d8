"""Limits the publishes in progress and refuses others at once, so that admitted ones finish in time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from starlette.requests import Request

from api.write.metrics import PUBLISHES_REFUSED
from shared.errors import Unavailable

RETRY_AFTER_S: Final = 2


class Intake:
    """Publish slots of one write process.

    A publisher holds at most as many slots as are left free beyond a quarter of all slots, over any number of
    connections. The last quarter is reserved for publishers without a slot, so only more accounts than that
    can fill it.
    """

    def __init__(self, places: int) -> None:
        """places: publishes at once, uploads included; at least 1."""
        self._free = places
        self._kept = places // 4
        self._held: Counter[UUID | str | None] = Counter()

    @contextmanager
    def place(self, credential: str | None) -> Iterator[Slot]:
        """A slot for one publish, held from before authentication until the response is sent.

        Raises Unavailable when no slot is free. The slot is taken before authentication because a refusal
        that first waited for the database would be late, and would delay the publishes that hold slots.
        credential: a hash of the credential in the request, None if it has none.
        """
        slot = Slot(self, self._free)
        with self.holding(credential, slot.free):
            self._free -= 1
            try:
                yield slot
            finally:
                self._free += 1

    @contextmanager
    def holding(self, holder: UUID | str | None, free: int) -> Iterator[None]:
        """Count a slot for a publisher or a credential. free: slots that were left. Raises Unavailable."""
        held = self._held[holder]
        if held >= (free - self._kept if held else free):
            raise _refusal()
        self._held[holder] += 1
        try:
            yield
        finally:
            self._held[holder] -= 1
            if not self._held[holder]:
                del self._held[holder]


@dataclass(frozen=True, slots=True)
class Slot:
    """The slot of one publish. free: how many slots were left when this one was taken."""

    intake: Intake
    free: int

    def of(self, publisher: UUID) -> AbstractContextManager[None]:
        """Count the slot for its publisher, who may use many credentials. Raises Unavailable."""
        return self.intake.holding(publisher, self.free)


def slot_of(request: Request) -> Slot:
    """The slot that the request of an upload holds."""
    slot: Slot = request.state.slot
    return slot


def _refusal() -> Unavailable:
    PUBLISHES_REFUSED.inc()
    return Unavailable("too many publishes at once, try again", retry_after_s=RETRY_AFTER_S)
