"""Answers for an edge that caches: confirmed files, their lifetime, and never an old one."""

from __future__ import annotations

import asyncio
from pathlib import Path

import httpx
import pytest

from shared.settings import Settings
from tests.api.read.http.reading import (
    ARCHIVE_KEY,
    ARCHIVE_PATH,
    BODIES,
    INDEX_KEY,
    INDEX_PATH,
    METADATA_PATH,
    Reading,
    etag_of,
    reading,
)
from tests.api.read.http.test_freshness import break_file

OLD, NEW = BODIES[INDEX_KEY], BODIES[INDEX_KEY] + b'{"version":"0.2.0"}\n'
CONFIRMED, HELD = {"x-x07-edge": "confirmed"}, {"x-x07-edge": "held"}
FOR_INDEX = "public, max-age=300, s-maxage=5, stale-while-revalidate=86400, stale-if-error=86400"


async def get(tier: Reading, headers: dict[str, str], path: str = INDEX_PATH) -> httpx.Response:
    """The answer to an edge."""
    return await tier.http.get(path, headers=headers)


async def test_an_edge_is_told_how_long_a_copy_is_good(fs_tier: Reading) -> None:
    """The edge's directives follow the clients', in a 304 as in a 200; a client gets none of them."""
    for headers in (CONFIRMED, CONFIRMED | {"if-none-match": etag_of(OLD)}):
        assert (await get(fs_tier, headers)).headers["cache-control"] == FOR_INDEX
    metadata = (await get(fs_tier, CONFIRMED, METADATA_PATH)).headers["cache-control"]
    assert metadata == FOR_INDEX.replace("300", "3600")
    archive = (await get(fs_tier, CONFIRMED, ARCHIVE_PATH)).headers["cache-control"]
    assert archive.startswith("public, max-age=31536000, immutable, s-maxage=604800, ")
    assert (await get(fs_tier, {})).headers["cache-control"] == "public, max-age=300"


async def test_the_settings_say_how_long(tmp_path: Path) -> None:
    """X07_REGISTRY_EDGE_FRESH_SECONDS and X07_REGISTRY_EDGE_STALE_SECONDS."""
    async with reading(Settings(data_dir=tmp_path, edge_fresh_seconds=9, edge_stale_seconds=0)) as tier:
        told = (await get(tier, CONFIRMED)).headers["cache-control"]
    assert told.endswith(", s-maxage=9, stale-while-revalidate=0, stale-if-error=0")


async def test_an_edge_gets_what_storage_has_now(own_tier: Reading) -> None:
    """This needs no change message, and holds even if the service has the old body in its cache."""
    await own_tier.http.get(INDEX_PATH)
    await own_tier.put(INDEX_KEY, NEW)
    assert (await get(own_tier, CONFIRMED | {"if-none-match": etag_of(OLD)})).content == NEW


async def test_a_file_that_changes_is_sent_to_an_edge_without_its_length(fs_tier: Reading) -> None:
    """nginx then ends its answer only when its copy is in place."""
    assert "content-length" not in (await get(fs_tier, CONFIRMED)).headers
    archive = await get(fs_tier, CONFIRMED, ARCHIVE_PATH)
    assert archive.headers["content-length"] == str(len(BODIES[ARCHIVE_KEY]))


@pytest.mark.parametrize("stale_s", [0, 60])
async def test_an_edge_gets_an_error_where_a_client_gets_a_stale_copy(tmp_path: Path, stale_s: int) -> None:
    """The edge's own copy may be newer.

    An edge without a copy asks for a held one, and gets it within the limit.
    """
    settings = Settings(
        data_dir=tmp_path, read_ttl_seconds=0.1, edge_fresh_seconds=1, edge_stale_seconds=stale_s
    )
    async with reading(settings) as tier:
        for path in (INDEX_PATH, ARCHIVE_PATH):
            await tier.http.get(path)
        for key in (INDEX_KEY, ARCHIVE_KEY):
            break_file(tmp_path / key)
        await asyncio.sleep(1.2)
        assert (await get(tier, {})).status_code == 200
        refused = await get(tier, CONFIRMED)
        assert (refused.status_code, refused.json()["code"]) == (503, "X07REG_UNAVAILABLE")
        held = await get(tier, HELD)
        assert held.status_code == (503 if stale_s == 0 else 200)
        assert stale_s == 0 or (held.content, held.headers["x-x07-stale"]) == (OLD, "true")
        archive = await get(tier, CONFIRMED, ARCHIVE_PATH)
        assert (archive.status_code, archive.content) == (200, BODIES[ARCHIVE_KEY])


async def test_an_edge_never_gets_the_answer_that_clients_get_fast(own_tier: Reading) -> None:
    """This holds however often clients were sent the file."""
    for _ in range(5):
        await own_tier.http.get(INDEX_PATH)
    await own_tier.put(INDEX_KEY, NEW)
    assert (await own_tier.http.get(INDEX_PATH)).content == OLD
    assert (await get(own_tier, CONFIRMED)).content == NEW
