"""The fuzzer of archives in the small: its corpus, and a few mutants a run. `make fuzz` goes on longer."""

from __future__ import annotations

import random
import tempfile
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from tests.fuzz.archives import corpus, mutate, outcome

ARCHIVES = corpus()


def test_every_kept_archive_is_answered_soundly(tmp_path: Path) -> None:
    """What once was a finding stays mended; the corpus reaches most of what can be wrong."""
    outcomes = {outcome(archive, tmp_path / "upload") for archive in ARCHIVES}
    assert "accepted" in outcomes
    assert len(outcomes) > 50


@given(st.randoms(use_true_random=False))
def test_mutants_are_answered_soundly(random_: random.Random) -> None:
    """No exception but a refusal; what is accepted is for another tar reader the same files."""
    with tempfile.TemporaryDirectory() as directory:
        outcome(mutate(random_, ARCHIVES), Path(directory) / "upload")
