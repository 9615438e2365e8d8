"""Read services over a small published tree. Tests that only read share one; the others get their own."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from shared.settings import Settings
from tests.api.read.http.reading import BODIES, LARGE_BODY, LARGE_KEY, Reading, reading
from tests.seaweedfs import SeaweedFs

# So long that a read service asks storage again only after messages and refreshes.
LONG_TTL_S = 3600


@pytest_asyncio.fixture(scope="session", params=["fs", "s3"])
async def tier(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Reading]:
    """A read service over each storage, with an archive too big to keep."""
    if request.param == "fs":
        settings = directory(tmp_path_factory.mktemp("read"))
    else:
        server: SeaweedFs = request.getfixturevalue("seaweedfs")
        settings = Settings(storage="s3", s3_prefix="read", read_ttl_seconds=LONG_TTL_S, **server.settings)
    async with reading(settings, {**BODIES, LARGE_KEY: LARGE_BODY}) as running:
        yield running


@pytest_asyncio.fixture(scope="session")
async def fs_tier(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Reading]:
    """A read service, for tests whose result does not depend on the kind of storage."""
    async with reading(directory(tmp_path_factory.mktemp("read"))) as running:
        yield running


@pytest_asyncio.fixture
async def own_tier(tmp_path: Path) -> AsyncIterator[Reading]:
    """A read service for one test, which may change the tree; it trusts its cache until a message comes."""
    async with reading(directory(tmp_path)) as running:
        yield running


def directory(root: Path) -> Settings:
    """Settings of a read service over an empty directory."""
    return Settings(data_dir=root / "tree", read_ttl_seconds=LONG_TTL_S)
