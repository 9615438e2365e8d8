"""Data directories for embedded servers of a test's own."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.local.home import Home, open_home


@pytest.fixture
def closed_dir() -> Iterator[Path]:
    """A directory that only we may enter, as /root is.

    Not below tmp_path: each pytest that starts closes what is above that to the user of Postgres again.
    """
    with tempfile.TemporaryDirectory(prefix="x07-test-") as directory:
        yield Path(directory)


@pytest.fixture
def home(closed_dir: Path) -> Iterator[Home]:
    """A home in a directory that only we may enter."""
    with open_home(closed_dir / "data") as home:
        yield home
