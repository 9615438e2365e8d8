"""Lays out the small graph of what a package requires and what requires it. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

SHOWN: Final = 6
WIDTH: Final = 720
BOX_WIDTH: Final = 200
BOX_HEIGHT: Final = 30
STEP: Final = 40
LONGEST: Final = 24


@dataclass(frozen=True, slots=True)
class Box:
    """A package in the picture. x, y: its upper left corner. text: its name, cut if it is long."""

    x: int
    y: int
    text: str

    @property
    def middle(self) -> int:
        """The height of the middle."""
        return self.y + BOX_HEIGHT // 2


@dataclass(frozen=True, slots=True)
class Graph:
    """A picture: the package in the middle, what requires it on the left, what it requires on the right."""

    height: int
    package: Box
    left: tuple[Box, ...]
    right: tuple[Box, ...]
    width: int = WIDTH
    box_width: int = BOX_WIDTH
    box_height: int = BOX_HEIGHT

    @property
    def boxes(self) -> tuple[Box, ...]:
        """All boxes."""
        return (self.package, *self.left, *self.right)


def graph_of(name: str, required_by: Sequence[str], requires: Sequence[str]) -> Graph | None:
    """The picture; None if the package stands alone. Of many neighbours, the last box tells how many more."""
    if not required_by and not requires:
        return None
    rows = max(1, min(len(required_by), SHOWN), min(len(requires), SHOWN))
    height = rows * STEP
    centre = Box((WIDTH - BOX_WIDTH) // 2, (height - BOX_HEIGHT) // 2, _cut(name))
    return Graph(
        height, centre, _column(required_by, 0, height), _column(requires, WIDTH - BOX_WIDTH, height)
    )


def _column(names: Sequence[str], x: int, height: int) -> tuple[Box, ...]:
    texts = [_cut(name) for name in names]
    if len(texts) > SHOWN:
        texts = [*texts[: SHOWN - 1], f"and {len(names) - SHOWN + 1} more"]
    top = (height - len(texts) * STEP + STEP - BOX_HEIGHT) // 2
    return tuple(Box(x, top + place * STEP, text) for place, text in enumerate(texts))


def _cut(name: str) -> str:
    return name if len(name) <= LONGEST else f"{name[: LONGEST - 1]}…"
