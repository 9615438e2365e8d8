"""Changes of a directory that wait for the disk together.

A change is a generator. It yields when its bytes are written and it would wait for the disk next; what
it returns is its result. Folders that hold new names are flushed when every change is through.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from shared.errors import RegistryError
from shared.storage.durable import flush_folder
from shared.storage.os_errors import mapped_os_errors

T = TypeVar("T")
Writing = Generator[None, None, T]


@dataclass(frozen=True, slots=True)
class Unflushed:
    """What is not on disk yet. folders: with a new name, or one less, in them. made: new themselves."""

    folders: set[Path] = field(default_factory=set)
    made: set[Path] = field(default_factory=set)

    def flush(self) -> None:
        """Bring the names to disk, those of parents first. Raises OSError."""
        for folder in sorted(self.folders):
            flush_folder(folder)


def run_together(changes: Sequence[Writing[Any]]) -> list[Any]:
    """Run changes to their ends, side by side; of each its result or its RegistryError, in order."""
    outcomes: list[Any] = [None] * len(changes)
    unfinished = list(enumerate(changes))
    while unfinished:
        going_on = []
        for place, change in unfinished:
            try:
                with mapped_os_errors():
                    next(change)
                going_on.append((place, change))
            except StopIteration as end:
                outcomes[place] = end.value
            except RegistryError as error:
                outcomes[place] = error
        unfinished = going_on
    return outcomes
