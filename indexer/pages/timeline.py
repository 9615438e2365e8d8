"""Lays out the time line of a package's versions: a picture that is readable without colour. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from indexer.pages.views import Release

SHOWN: Final = 60
WIDTH: Final = 720
MARGIN: Final = 24
LANE: Final = 22
APART: Final = 18
LANES: Final = 5
MAX_YEARS: Final = 12
LEAST_RADIUS, MIDDLE_RADIUS, MOST_RADIUS = 4, 6, 8


@dataclass(frozen=True, slots=True)
class Mark:
    """A version in the picture. x, y: its centre. radius: grows with the logarithm of its archive's size."""

    x: int
    y: int
    radius: int
    release: Release


@dataclass(frozen=True, slots=True)
class Tick:
    """The beginning of a year."""

    x: int
    year: int


@dataclass(frozen=True, slots=True)
class TimeLine:
    """A picture of `width` by `height`. marks: oldest first. base: the height of the line."""

    width: int
    height: int
    base: int
    marks: tuple[Mark, ...]
    ticks: tuple[Tick, ...]


def time_line(releases: Sequence[Release]) -> TimeLine | None:
    """The picture of the newest versions by time; None if there are fewer than two."""
    shown = sorted(releases, key=lambda each: (each.published_at, each.version))[-SHOWN:]
    if len(shown) < 2:
        return None
    first, last = shown[0].published_at, shown[-1].published_at
    lanes = list(_lanes([_place(each.published_at, first, last) for each in shown]))
    base = MARGIN + LANE * max(lane for _, lane in lanes)
    radii = _radii([each.size_bytes for each in shown])
    marks = tuple(
        Mark(x, base - LANE * lane, radius, release)
        for (x, lane), radius, release in zip(lanes, radii, shown, strict=True)
    )
    return TimeLine(WIDTH, base + 2 * MARGIN, base, marks, tuple(_ticks(first, last)))


def _place(moment: datetime, first: datetime, last: datetime) -> int:
    """Where a moment is between the first and the last one."""
    whole = (last - first).total_seconds()
    part = (moment - first).total_seconds() / whole if whole else 0.5
    return MARGIN + round(part * (WIDTH - 2 * MARGIN))


def _radii(sizes: Sequence[int | None]) -> list[int]:
    """The radius of each mark. An unknown size, and sizes that are all the same, have the middle one."""
    known = [math.log(size) for size in sizes if size]
    least, most = min(known, default=0.0), max(known, default=0.0)
    if most == least:
        return [MIDDLE_RADIUS] * len(sizes)
    return [
        LEAST_RADIUS + round((MOST_RADIUS - LEAST_RADIUS) * (math.log(size) - least) / (most - least))
        if size
        else MIDDLE_RADIUS
        for size in sizes
    ]


def _lanes(places: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Each place with a lane above the line, so that few marks cover each other. places: ascending."""
    ends = [-APART] * LANES
    for place in places:
        free = (lane for lane, end in enumerate(ends) if place - end >= APART)
        lane = next(free, min(range(LANES), key=lambda each: ends[each]))
        ends[lane] = place
        yield place, lane


def _ticks(first: datetime, last: datetime) -> Iterator[Tick]:
    """The beginnings of the years in between; of many years only some."""
    years = range(first.year + 1, last.year + 1)
    step = len(years) // MAX_YEARS + 1
    for year in years[::step]:
        yield Tick(_place(datetime(year, 1, 1, tzinfo=UTC), first, last), year)
