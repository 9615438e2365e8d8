"""The progress of long commands: one line with a total on a terminal, and no line for each package."""

from __future__ import annotations

import os
import re
import sys

import pytest

from deploy.cli.progress import open_walk
from tests.deploy.commands import variables_of
from tests.deploy.forked_commands import run
from tests.stack import Registry

CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def test_a_terminal_has_one_line_with_a_total(monkeypatch: pytest.MonkeyPatch) -> None:
    """The line is drawn again in its place, and removed at the end."""
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")
    reads, writes = os.openpty()
    with os.fdopen(writes, "w") as terminal:
        monkeypatch.setattr(sys, "stderr", terminal)
        with open_walk() as walk:
            walk.begin("index files", total=500)
            for _ in range(500):
                walk.advance()
        terminal.flush()
        drawn = ""
        while "500/500" not in drawn:  # a terminal gives out what it has, in parts
            drawn += os.read(reads, 1 << 20).decode()
    os.close(reads)
    drawn = CONTROL.sub("", drawn)
    assert "index files" in drawn
    assert "500/500" in drawn
    assert drawn.count("\n") <= 2


@pytest.mark.parametrize("storage_settings", ["fs"], indirect=True)
def test_a_walk_logs_no_line_for_a_package(settled: Registry) -> None:
    """A registry of 100,000 packages would hide the result; X07_REGISTRY_LOG_LEVEL shows the lines."""
    variables = variables_of(settled.settings)
    answer = run("reindex", **variables)
    assert (answer.returncode, answer.stderr) == (0, "")
    told = run("reindex", **variables, X07_REGISTRY_LOG_LEVEL="info")
    assert "package_published" in told.stderr
