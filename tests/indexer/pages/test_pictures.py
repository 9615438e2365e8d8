"""Pictures are laid out within their bounds, and nothing covers everything else."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from indexer.pages import graph, timeline
from indexer.pages.graph import graph_of
from indexer.pages.timeline import SHOWN, time_line
from indexer.pages.views import Release

BEGIN = datetime(2020, 6, 1, tzinfo=UTC)


def release(number: int, after: timedelta) -> Release:
    """A version that was published so long after the beginning."""
    return Release(f"0.{number}.0", BEGIN + after, yanked=False, advisories=())


@pytest.mark.parametrize("count", [0, 1])
def test_a_package_with_one_version_has_no_time_line(count: int) -> None:
    """A single dot says nothing."""
    assert time_line([release(number, timedelta()) for number in range(count)]) is None


@given(st.lists(st.integers(0, 10**9), min_size=2, max_size=100))
def test_every_mark_is_in_the_picture_and_time_goes_from_left_to_right(seconds: list[int]) -> None:
    """Also for versions of one moment, and for decades."""
    releases = [release(number, timedelta(seconds=each)) for number, each in enumerate(seconds)]
    line = time_line(releases)
    assert line is not None
    assert len(line.marks) == min(len(seconds), SHOWN)
    assert [mark.x for mark in line.marks] == sorted(mark.x for mark in line.marks)
    for mark in line.marks:
        assert timeline.MARGIN <= mark.x <= line.width - timeline.MARGIN
        assert 0 < mark.y <= line.base < line.height
    assert all(timeline.MARGIN <= tick.x <= line.width - timeline.MARGIN for tick in line.ticks)


def test_versions_of_one_day_stand_above_each_other() -> None:
    """A release and its two fixes are three dots."""
    hours = (0, 1, 2, 24 * 365)
    line = time_line([release(number, timedelta(hours=each)) for number, each in enumerate(hours)])
    assert line is not None
    assert len({(mark.x, mark.y) for mark in line.marks}) == 4
    assert [tick.year for tick in line.ticks] == [2021]


@given(st.lists(st.none() | st.integers(0, 2**40), min_size=2, max_size=SHOWN))
def test_a_larger_archive_never_has_a_smaller_dot(sizes: list[int | None]) -> None:
    """Also if sizes differ by powers of ten, or are not known."""
    releases = [
        replace(release(number, timedelta(days=number)), size_bytes=size) for number, size in enumerate(sizes)
    ]
    line = time_line(releases)
    assert line is not None
    known = sorted((mark.release.size_bytes, mark.radius) for mark in line.marks if mark.release.size_bytes)
    assert all(smaller[1] <= larger[1] for smaller, larger in pairwise(known))
    assert all(timeline.LEAST_RADIUS <= mark.radius <= timeline.MOST_RADIUS for mark in line.marks)


@given(st.integers(0, 20), st.integers(0, 20))
def test_the_boxes_of_a_graph_stand_apart(required_by: int, requires: int) -> None:
    """Of more neighbours than fit, the last box gives the number."""
    picture = graph_of("hello", [f"a{each}" for each in range(required_by)], ["b" * 100] * requires)
    if not required_by + requires:
        assert picture is None
        return
    assert picture is not None
    for column, count in ((picture.left, required_by), (picture.right, requires)):
        assert len(column) == min(count, graph.SHOWN)
        if count > graph.SHOWN:
            assert column[-1].text == f"and {count - graph.SHOWN + 1} more"
        tops = [box.y for box in column]
        assert all(later - earlier >= graph.BOX_HEIGHT for earlier, later in pairwise(tops))
        assert all(0 <= top <= picture.height - graph.BOX_HEIGHT for top in tops)
