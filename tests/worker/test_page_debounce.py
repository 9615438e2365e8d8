"""The delay of pages while publishes follow each other."""

from __future__ import annotations

import pytest

from shared.settings import Settings
from worker.page_debounce import pause_after_build

DEBOUNCE_S = Settings.model_fields["catalog_debounce_seconds"].default


@pytest.mark.parametrize("build_s", [0.0, 0.01, 0.05, 0.1, 0.15])
def test_pages_follow_within_two_seconds(build_s: float) -> None:
    """A change that just missed a build waits for its end, the pause, the debounce and the next build."""
    assert build_s + pause_after_build(build_s, is_done=True) + DEBOUNCE_S + build_s <= 2


@pytest.mark.parametrize(
    ("build_s", "is_done", "share"), [(0.05, True, 1 / 20), (0.1, True, 1 / 10), (3.0, False, 1 / 5)]
)
def test_builds_leave_the_worker_to_publish(build_s: float, is_done: bool, share: float) -> None:
    """Pages come after publications, so their builds are bounded however many publishes arrive."""
    assert build_s / (build_s + pause_after_build(build_s, is_done=is_done)) <= share
