"""Registries without a worker, which would mend what a test breaks."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest_asyncio

from tests.conftest import SIGNING, MakeSettings
from tests.indexer.walks import publish_all
from tests.stack import Registry, running_registry


@pytest_asyncio.fixture
async def settled(make_settings: MakeSettings) -> AsyncIterator[Registry]:
    """A registry that signs, with three versions of two packages, all published; no worker runs."""
    settings = await make_settings(publish_wait_seconds=0, **SIGNING)
    async with running_registry(settings, with_worker=False) as running:
        await publish_all(running)
        yield running
