"""The memory of a write process with default settings during searches that find large texts."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from sqlalchemy import text

from shared.database import Database
from shared.manifest_limits import MAX_DESCRIPTION_BYTES, MAX_FACET_BYTES, MAX_FACETS
from shared.settings import Settings
from tests.deploy.serving_process import HOST, ServingProcess, serving_process
from tests.listings import LIST_PACKAGES
from tests.shared.http.raw import head

pytestmark = pytest.mark.long

MOST_MIB = 200
AT_ONCE = 60
SEARCH = "/v1/search?limit=100"
TARGETS = (SEARCH, "/v1/search?q=pack&limit=100", "/v1/archetypes?limit=100", "/v1/archetypes/cli")

# A character that takes six bytes in JSON; older releases accepted a megabyte of text per package.
WORST_NEW = {
    "description": "\x01" * MAX_DESCRIPTION_BYTES,
    "facets": [f"{number:03d}" + "\x01" * (MAX_FACET_BYTES - 3) for number in range(MAX_FACETS)],
}
OLDER = {"description": "x" * (1 << 20), "facets": [f"{number:06d}" for number in range(20_000)]}


@pytest.mark.parametrize("listing", [WORST_NEW, OLDER], ids=["new", "older"])
@pytest.mark.parametrize("storage_settings", ["fs"], indirect=True)
async def test_a_write_process_stays_small_while_sixty_search(
    listing: dict[str, Any], make_settings: Callable[..., Awaitable[Settings]]
) -> None:
    """Sixty clients read their answers, then sixty do not; each answer has a hundred packages."""
    settings = await make_settings()
    database = Database(settings)
    async with database.transaction() as tx:
        await tx.execute(text("INSERT INTO users (handle) VALUES ('alice')"))
        await tx.execute(text(LIST_PACKAGES), {"packages": 100, **listing})
    await database.close()
    variables = {
        "database_url": settings.database_url.get_secret_value(),
        "redis_url": settings.redis_url.get_secret_value(),
        "data_dir": settings.data_dir,
    }
    figures = {}
    with serving_process("write", variables) as server:
        await server.get([SEARCH])
        figures["one search"] = server.most_mib
        for target in TARGETS:
            await server.get([target] * AT_ONCE, readers=AT_ONCE)
            figures[f"{AT_ONCE} at once, {target}"] = server.most_mib
            await ask_and_take_nothing(server, target)
            figures[f"{AT_ONCE} that take nothing, {target}"] = server.most_mib
    for stage, mib in figures.items():
        print(f"{mib:6.1f} MiB after {stage}")
    assert max(figures.values()) < MOST_MIB, figures


async def ask_and_take_nothing(server: ServingProcess, target: str) -> None:
    """Return when all answers are held for clients that have read only their first bytes.

    Some may be 503, if the server is too busy for them.
    """
    slow = await server.open(AT_ONCE, head(target.encode(), HOST), receive_bytes=4096)
    begun = await asyncio.gather(*(connection.read() for connection in slow))
    assert {answer[:12] for answer in begun} <= {b"HTTP/1.1 200", b"HTTP/1.1 503"}
    assert any(answer.startswith(b"HTTP/1.1 200") for answer in begun)
    for connection in slow:
        connection.close()
