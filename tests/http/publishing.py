"""A package that is published before a test begins."""

from __future__ import annotations

from tests.archives import hello_archive
from tests.stack import Registry


async def published(registry: Registry, *versions: str) -> dict[str, str]:
    """Publish `hello` with these versions, or 0.1.0. Returns its owner's headers."""
    headers = await registry.add_publisher("alice", "publish", "owner.manage")
    for version in versions or ("0.1.0",):
        answer = await registry.publish(hello_archive(version=version), headers)
        assert answer.status_code == 200, answer.text
    return headers
