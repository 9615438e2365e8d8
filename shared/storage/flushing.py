"""Runs changes of a directory so that they wait for the disk together.

A change is a generator. It writes its bytes, yields the descriptors of the files that must be on disk before
it continues, and returns its result. With NAMES_SO_FAR it waits until the folders that hold new names are
flushed; those that are left are flushed when every change has ended. Flushes run at the same time, so that
one commit of the file system's journal serves many.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

from shared.errors import RegistryError
from shared.storage.durable import flush_folder
from shared.storage.os_errors import mapped_os_errors

FLUSHES_AT_ONCE: Final = 4

T = TypeVar("T")
R = TypeVar("R")
Writing = Generator[Sequence[int], None, T]
NAMES_SO_FAR: Final = ()


@dataclass(frozen=True, slots=True)
class Unflushed:
    """Unflushed changes. folders: those in which a name was added or removed. made: new folders."""

    folders: set[str] = field(default_factory=set)
    made: set[str] = field(default_factory=set)

    def flush(self, threads: Executor) -> None:
        """Flush the folders. Raises OSError."""
        _side_by_side(threads, flush_folder, sorted(self.folders))
        self.folders.clear()


def run_together(threads: Executor, changes: Sequence[Writing[Any]], unflushed: Unflushed) -> list[Any]:
    """Run changes to their ends at the same time. Returns the result or RegistryError of each, in order."""
    outcomes: list[Any] = [None] * len(changes)
    failures: dict[int, OSError] = {}
    unfinished = list(enumerate(changes))
    while unfinished:
        written: dict[int, Sequence[int]] = {}
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
        failures = _flush(threads, written, unflushed)
    return outcomes


def _flush(
    threads: Executor, written: Mapping[int, Sequence[int]], unflushed: Unflushed
) -> dict[int, OSError]:
    """Flush what changes wait for. Returns the failure of each change whose flush failed."""
    descriptors = [descriptor for wanted in written.values() for descriptor in wanted]
    found = zip(descriptors, _side_by_side(threads, _failure_of_flush, descriptors), strict=True)
    failed = {descriptor: error for descriptor, error in found if error}
    failures = {place: failed[one] for place, wanted in written.items() for one in wanted if one in failed}
    if NAMES_SO_FAR in written.values():
        try:
            unflushed.flush(threads)
        except OSError as error:
            failures |= {place: error for place, wanted in written.items() if wanted == NAMES_SO_FAR}
    return failures


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
