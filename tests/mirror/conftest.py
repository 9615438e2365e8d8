"""An origin with a log, at an address that its own config.json names."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest_asyncio

from tests.archives import hello_archive
from tests.conftest import MakeSettings
from tests.log.logs import until_logged
from tests.mirror.mirrors import running_at_its_base
from tests.stack import Registry

VERSIONS = (("hello", "0.1.0"), ("hello", "0.2.0+b.1"), ("hello-world", "1.0.0"), ("other", "1.0.0"))


@pytest_asyncio.fixture
async def origin(make_settings: MakeSettings) -> AsyncIterator[Registry]:
    """A registry that signs and logs, with a worker; its log has four versions and a yank."""
    async with running_at_its_base(make_settings) as running:
        await publish_versions(running)
        await until_logged(running, 5)
        yield running


async def publish_versions(registry: Registry) -> None:
    """Publish four versions of three packages, and yank one."""
    alice = await registry.add_publisher("alice", "publish", "owner.manage")
    for name, version in VERSIONS:
        answer = await registry.publish(hello_archive(name, version), alice)
        assert answer.status_code == 200, answer.text
    yank = await registry.http.post("/v1/packages/hello/0.1.0/yank", json={"yanked": True}, headers=alice)
    assert yank.status_code == 200
    for name, latest in (("hello", "0.2.0+b.1"), ("hello-world", "1.0.0"), ("other", "1.0.0")):
        await registry.until_in_catalog(name, latest)
