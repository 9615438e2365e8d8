"""Data directories for embedded servers that belong to one test."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.local.home import Home, open_home


@pytest.fixture
def closed_dir() -> Iterator[Path]:
    """A directory that only the current user may enter, as /root is.

    Not below tmp_path, because each new pytest closes the folders above that to Postgres's user again.
    """
    with tempfile.TemporaryDirectory(prefix="x07-test-") as directory:
        yield Path(directory)


@pytest.fixture
def home(closed_dir: Path) -> Iterator[Home]:
    """A home in a directory that only the current user may enter."""
    with open_home(closed_dir / "data") as home:
        yield home
