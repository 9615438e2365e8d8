"""The archive fuzzer with its corpus and a few archives per run; `make fuzz` runs longer."""

from __future__ import annotations

import random
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fuzz.archives import corpus, make, outcome
from tests.fuzz.comparison import require_same
from tests.fuzz.tar_programs import PYTHON, find_tar_programs
from tests.loud import say_loudly

ARCHIVES = corpus()


def test_every_kept_archive_is_answered_soundly(tmp_path: Path) -> None:
    """Earlier findings stay fixed, and the corpus covers most possible faults."""
    outcomes = {outcome(archive, tmp_path / "upload") for archive in ARCHIVES}
    assert "accepted" in outcomes
    assert len(outcomes) > 50


def test_every_kept_archive_that_is_taken_is_the_same_to_all_tar_programs(
    tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """Each installed program unpacks the checked files; the run names the missing programs at its end."""
    programs = find_tar_programs()
    upload = tmp_path / "upload"
    taken = 0
    for archive in ARCHIVES:
        upload.write_bytes(archive)
        taken += require_same(upload, programs.found)
    assert taken > 10
    if programs.missing:
        say_loudly(request, f"tests/fuzz did not compare with {'; '.join(programs.missing)}")


@settings(deadline=None)  # a busy disk is not a failure
@given(st.randoms(use_true_random=False))
def test_other_archives_are_answered_soundly(random_: random.Random) -> None:
    """The check raises nothing but refusals, and Python unpacks the same files from accepted archives."""
    with tempfile.TemporaryDirectory() as directory:
        upload = Path(directory) / "upload"
        outcome(make(random_, ARCHIVES), upload)
        require_same(upload, (PYTHON,))
