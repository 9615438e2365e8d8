"""Shared by commands that walk over all packages: progress reports, and pages of items."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol, TypeVar

T = TypeVar("T")


class Progress(Protocol):
    """Receives the progress of a long walk."""

    def begin(self, what: str, total: int | None = None) -> None:
        """A part of the walk begins. total: of its items, if known."""

    def advance(self, count: int = 1) -> None:
        """This many more items are done."""


def pages(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    """The items in pages of this size."""
    for start in range(0, len(items), size):
        yield items[start : start + size]
