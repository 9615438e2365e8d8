"""Runs changes of a directory so that they wait for the disk together.

A change is a generator. It writes its bytes, yields the descriptor of a file that must be on disk before it
continues, and returns its result. When every change has ended, the folders that hold new names are flushed.
Flushes run at the same time, so that one commit of the file system's journal serves many.
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
    """Unflushed changes. folders: those in which a name was added or removed. made: new folders."""

    folders: set[str] = field(default_factory=set)
    made: set[str] = field(default_factory=set)

    def flush(self, threads: Executor) -> None:
        """Flush the folders. Raises OSError."""
        _side_by_side(threads, flush_folder, sorted(self.folders))


def run_together(threads: Executor, changes: Sequence[Writing[Any]]) -> list[Any]:
    """Run changes to their ends at the same time. Returns the result or RegistryError of each, in order."""
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
    """Flush items, a few at a time. A single item is flushed in this thread.

    Each thread gets its whole share at once, because handing over single items costs more than most flushes.
    """
    if len(items) <= 1:
        return list(map(flush, items))
    shares = [items[first::FLUSHES_AT_ONCE] for first in range(min(len(items), FLUSHES_AT_ONCE))]
    flushed: list[Any] = [None] * len(items)
    for first, results in enumerate(threads.map(lambda share: list(map(flush, share)), shares)):
        flushed[first::FLUSHES_AT_ONCE] = results
    return flushed
