"""The tar programs for the comparison of archives: the installed ones, and the message about the others."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.archives import END, entry, pax
from tests.fuzz.comparison import read_tree
from tests.fuzz.tar_programs import PYTHON, ProgramFailed, find_tar_programs


def test_what_is_not_installed_is_named_and_the_rest_is_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    """Python is always available."""
    monkeypatch.setenv("PATH", "")
    programs = find_tar_programs.__wrapped__()
    assert programs.found == (PYTHON,)
    told = "cargo is not installed", "go is not installed", "no tar or gtar", "no bsdtar or tar"
    for missing, reason in zip(programs.missing, told, strict=True):
        assert reason in missing


def test_each_program_unpacks_and_says_when_it_cannot(tmp_path: Path) -> None:
    """Files, directories and names from pax headers are unpacked; other data makes each program fail."""
    archive = tmp_path / "archive.tar"
    for number, program in enumerate(find_tar_programs().found):
        archive.write_bytes(pax({"path": "d/long"}) + entry("short", b"x") + entry("e/", kind=b"5") + END)
        directory = tmp_path / str(number)
        directory.mkdir()
        program.unpack(archive, directory)
        assert read_tree(directory) == {"d": None, "d/long": b"x", "e": None}, program.name
        archive.write_bytes(b"no archive" * 200)
        with pytest.raises(ProgramFailed):
            program.unpack(archive, directory)
