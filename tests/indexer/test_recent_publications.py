"""Packages that were published lately are checked twice, at most some at a time."""

from __future__ import annotations

import pytest

from indexer import recent_publications
from indexer.recent_publications import CHECKED_AFTER_S, RecentPublications
from shared.names import PackageName

A, B, C = (PackageName(name) for name in ("a", "b", "c"))


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """A clock whose only entry is the time in seconds."""
    now = [1000.0]
    monkeypatch.setattr(recent_publications.time, "monotonic", lambda: now[0])
    return now


def test_a_package_is_checked_a_minute_and_sixteen_minutes_after_its_publication(clock: list[float]) -> None:
    """S3 takes no request that is older than 15 minutes, so nothing late follows the second check."""
    recent = RecentPublications()
    recent.note([A, B])
    assert recent.take_due(10) == []
    for after_s in CHECKED_AFTER_S:
        clock[0] = 1000.0 + after_s
        assert recent.take_due(10) == [A, B]
        assert recent.take_due(10) == []


def test_the_newest_publication_counts_and_the_rest_waits_its_turn(clock: list[float]) -> None:
    """A package that is published all the time is checked when it has rested."""
    recent = RecentPublications()
    recent.note([A, B, C])
    clock[0] += CHECKED_AFTER_S[0] - 1
    recent.note([A])
    clock[0] += 1
    assert recent.take_due(1) == [B]
    assert recent.take_due(10) == [C]
    clock[0] += CHECKED_AFTER_S[0]
    assert recent.take_due(10) == [A]


def test_a_flood_forgets_the_oldest(clock: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory stays bounded; the round over all packages reaches what was forgotten."""
    monkeypatch.setattr(recent_publications, "MAX_REMEMBERED", 2)
    recent = RecentPublications()
    recent.note([A, B, C])
    clock[0] += CHECKED_AFTER_S[0]
    assert recent.take_due(10) == [B, C]
