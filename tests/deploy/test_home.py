"""The data directory: one process holds it at a time, and files left by a killed process do no harm."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from deploy.errors import StartFailed
from deploy.local.home import open_home

HOLDER = """
import pathlib, sys, time
from deploy.local.home import open_home

with open_home(pathlib.Path(sys.argv[1])) as home:
    print(home.sockets, flush=True)
    time.sleep(60)
"""


def test_a_second_holder_is_refused_at_once(tmp_path: Path) -> None:
    """Two servers would destroy the data directory; the message names the holder."""
    with open_home(tmp_path), pytest.raises(StartFailed, match=r"in use by process \d+"), open_home(tmp_path):
        pass


def test_what_a_killed_holder_left_is_cleared_away(tmp_path: Path) -> None:
    """The lock ends with its process; the next holder removes the directory of sockets."""
    command = [sys.executable, "-c", HOLDER, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        left = Path(holder.stdout.readline().strip())
        holder.kill()
    assert left.is_dir()
    with open_home(tmp_path) as home:
        assert not left.exists()
        assert (tmp_path / "run").resolve() == home.sockets
    assert not home.sockets.exists()


def test_a_foreign_directory_behind_the_link_is_left_alone(tmp_path: Path) -> None:
    """Only our own directories are removed, whatever the link points to."""
    precious = tmp_path / "precious"
    precious.mkdir()
    (tmp_path / "run").symlink_to(precious)
    with open_home(tmp_path):
        assert precious.is_dir()
