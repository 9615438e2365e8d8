"""What walks over everything have in common: they tell how far they are, and take so many at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol, TypeVar

T = TypeVar("T")


class Progress(Protocol):
    """Hears how far a long walk is."""

    def begin(self, what: str, total: int | None = None) -> None:
        """A part of the walk begins. total: how many there are, if that is known."""

    def advance(self, count: int = 1) -> None:
        """So many more are done."""


def pages(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    """The items, so many at a time."""
    for start in range(0, len(items), size):
        yield items[start : start + size]
