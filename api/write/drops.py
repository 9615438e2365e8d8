"""Waits until readers have dropped their cached copies of a change that was announced.

Each announcement names the readers that receive it. Each of them answers when it serves nothing older.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Final

from shared.messages import Change, Dropped

# A live reader answers within milliseconds. A publish waits this long at most for a reader that has stopped.
PATIENCE_S: Final = 1.0
# The reader in this process may be ahead of the messages to its writer by some changes.
CHANGES_KEPT: Final = 64


@dataclass(frozen=True, slots=True)
class Expected:
    """The readers that have not answered yet, and whether all answered in time."""

    readers: set[str]
    are_done: asyncio.Future[bool]


class Drops:
    """The answers of readers that this process waits for.

    After a reader has failed to answer in time, publishes ignore it until it answers or stops receiving
    messages.
    """

    def __init__(self) -> None:
        self._expected: dict[str, Expected] = {}
        self._silent: set[str] = set()
        # The readers that have answered, by change. None answers twice, and somebody may wait only then.
        self._answered: dict[str, set[str]] = {}

    def expect(self, change: Change) -> asyncio.Future[bool]:
        """True when every reader that receives the change has answered; False if one does not in time."""
        if (expected := self._expected.get(change.id)) is not None:
            return expected.are_done
        are_done: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._silent.intersection_update(change.readers)
        readers = set(change.readers) - self._answered.get(change.id, set())
        if not readers or self._silent:
            are_done.set_result(not readers)
        else:
            self._expected[change.id] = Expected(readers, are_done)
            asyncio.get_running_loop().call_later(PATIENCE_S, self._give_up, change.id)
        return are_done

    def apply(self, dropped: Dropped) -> None:
        """Note a reader's answer."""
        self._silent.discard(dropped.reader)
        self._answered.setdefault(dropped.change, set()).add(dropped.reader)
        if len(self._answered) > CHANGES_KEPT:
            del self._answered[next(iter(self._answered))]
        if (expected := self._expected.get(dropped.change)) is None:
            return
        expected.readers.discard(dropped.reader)
        if not expected.readers:
            del self._expected[dropped.change]
            expected.are_done.set_result(True)

    def _give_up(self, change: str) -> None:
        if (expected := self._expected.pop(change, None)) is not None:
            self._silent |= expected.readers
            expected.are_done.set_result(False)
