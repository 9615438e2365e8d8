"""Changes of a directory that wait for the disk together.

A change is a generator. When its bytes are written it yields the descriptor of the file that is to be on
disk before it goes on; what it returns is its result. Folders that hold new names are flushed when every
change is through. Flushes run side by side: one commit of the file system's journal then serves many.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

from shared.errors import RegistryError
from shared.storage.durable import flush_folder
from shared.storage.os_errors import mapped_os_errors

FLUSHES_AT_ONCE: Final = 4

T = TypeVar("T")
R = TypeVar("R")
Writing = Generator[int, None, T]


@dataclass(frozen=True, slots=True)
class Unflushed:
    """What is not on disk yet. folders: with a new name, or one less, in them. made: new themselves."""

    folders: set[str] = field(default_factory=set)
    made: set[str] = field(default_factory=set)

    def flush(self, threads: Executor) -> None:
        """Bring the names to disk. Raises OSError."""
        _side_by_side(threads, flush_folder, sorted(self.folders))


def run_together(threads: Executor, changes: Sequence[Writing[Any]]) -> list[Any]:
    """Run changes to their ends, side by side; of each its result or its RegistryError, in order."""
    outcomes: list[Any] = [None] * len(changes)
    failures: dict[int, OSError] = {}
    unfinished = list(enumerate(changes))
    while unfinished:
        written: dict[int, int] = {}
        for place, change in unfinished:
            try:
                with mapped_os_errors():
                    failure = failures.pop(place, None)
                    written[place] = next(change) if failure is None else change.throw(failure)
            except StopIteration as end:
                outcomes[place] = end.value
            except RegistryError as error:
                outcomes[place] = error
        unfinished = [(place, changes[place]) for place in written]
        flushed = _side_by_side(threads, _failure_of_flush, list(written.values()))
        failures = {place: error for place, error in zip(written, flushed, strict=True) if error}
    return outcomes


def _failure_of_flush(descriptor: int) -> OSError | None:
    try:
        os.fsync(descriptor)
    except OSError as error:
        return error
    return None


def _side_by_side(threads: Executor, flush: Callable[[T], R], items: Sequence[T]) -> list[R]:
    """Flush items, a few at a time, in order; one alone needs no other thread.

    Each thread gets its share in one piece: handing over item by item costs more than most flushes do.
    """
    if len(items) <= 1:
        return list(map(flush, items))
    shares = [items[first::FLUSHES_AT_ONCE] for first in range(min(len(items), FLUSHES_AT_ONCE))]
    flushed: list[Any] = [None] * len(items)
    for first, results in enumerate(threads.map(lambda share: list(map(flush, share)), shares)):
        flushed[first::FLUSHES_AT_ONCE] = results
    return flushed
