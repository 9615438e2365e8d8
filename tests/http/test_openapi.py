"""The OpenAPI document as both tiers serve it (contract, 1.7, 2.1 and 3.2)."""

from __future__ import annotations

import hashlib

from deploy.asgi import build_read_app
from deploy.openapi.__main__ import DOCUMENT
from tests.stack import Registry, running_registry

PATH = "/openapi/openapi.json"


async def is_served(registry: Registry) -> bool:
    """The answer is the bytes of the file, cacheable for an hour, and 304 for clients that have them."""
    answer = await registry.http.get(PATH)
    assert (answer.status_code, answer.content) == (200, DOCUMENT.read_bytes())
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["etag"] == f'"{hashlib.sha256(answer.content).hexdigest()}"'
    assert answer.headers["cache-control"] == "public, max-age=3600"
    for shown in (answer.headers["etag"], f'"x", W/{answer.headers["etag"]}', "*"):
        again = await registry.http.get(PATH, headers={"if-none-match": shown})
        assert (again.status_code, again.content) == (304, b"")
        assert again.headers["etag"] == answer.headers["etag"]
        assert again.headers["cache-control"] == "public, max-age=3600"
        assert "content-type" not in again.headers
    head = await registry.http.head(PATH)
    assert (head.headers["content-length"], head.content) == (str(len(answer.content)), b"")
    return True


async def test_the_document_is_served_and_revalidates(fs_registry: Registry) -> None:
    """Tools read it from the registry that they use; while unchanged, it costs them nothing."""
    assert await is_served(fs_registry)
    moved = await fs_registry.http.get("/openapi")
    assert (moved.status_code, moved.headers["location"], moved.content) == (303, PATH, b"")


async def test_a_read_server_alone_serves_it_too(fs_registry: Registry) -> None:
    """Its service document names the path, so the path must exist there."""
    async with running_registry(
        fs_registry.settings, build_app=build_read_app, with_worker=False
    ) as read_tier:
        assert await is_served(read_tier)
        moved = await read_tier.http.get("/openapi")
        assert (moved.status_code, moved.headers["location"]) == (303, PATH)
