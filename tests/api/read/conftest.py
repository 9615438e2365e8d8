"""A store that can be made to fail."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio

from tests.api.read.faulty_storage import FaultyStorage, faulty_directory


@pytest_asyncio.fixture
async def storage(tmp_path: Path) -> AsyncIterator[FaultyStorage]:
    """A directory that can be made to fail."""
    async with faulty_directory(tmp_path / "tree") as directory:
        yield directory
