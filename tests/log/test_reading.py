"""The log over HTTP: caching, compression, and the delay of the next checkpoint."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio
import zstandard

from api.read.metrics import FAST_OK
from indexer.log.checkpoint import open_checkpoint
from tests.archives import hello_archive
from tests.conftest import MakeSettings
from tests.log.logs import LOGGING, SIGNER, add_lines, until_logged
from tests.stack import Registry, eventually, running_registry

YEAR = "public, max-age=31536000, immutable"


@pytest_asyncio.fixture
async def registry(make_settings: MakeSettings) -> AsyncIterator[Registry]:
    """A registry whose log has 301 entries."""
    async with running_registry(await make_settings(**LOGGING)) as running:
        await until_logged(running, 0)
        await add_lines(running, 300)
        await running.publish(hello_archive(), await running.add_publisher())
        await until_logged(running, 301)
        yield running


@pytest.mark.parametrize("storage_settings", ["fs"], indirect=True)
async def test_a_checkpoint_is_asked_for_each_time_and_seldom_sent(registry: Registry) -> None:
    """It has no-cache, is text, and its ETag is the digest of its bytes."""
    answer = await registry.http.get("/log/checkpoint?x07_refresh=1")
    assert answer.headers["cache-control"] == "no-cache"
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert answer.headers["etag"] == f'"{hashlib.sha256(answer.content).hexdigest()}"'
    assert open_checkpoint(answer.content, [SIGNER.verifier]).size == 301
    again = await registry.http.get("/log/checkpoint", headers={"if-none-match": answer.headers["etag"]})
    assert (again.status_code, again.headers["cache-control"]) == (304, "no-cache")


@pytest.mark.parametrize("storage_settings", ["fs"], indirect=True)
async def test_tiles_and_bundles_are_kept_for_a_year_partial_ones_too(registry: Registry) -> None:
    """A missing file is 404 without caching: a tile that is added later is found at once."""
    for path in (
        "tile/0/000",
        "tile/0/001.p/45",
        "tile/1/000.p/1",
        "tile/entries/000",
        "tile/entries/001.p/45",
    ):
        answer = await registry.http.get(f"/log/{path}")
        assert answer.status_code == 200, path
        assert answer.headers["cache-control"] == YEAR
        assert answer.headers["content-type"] == "application/octet-stream"
    assert len((await registry.http.get("/log/tile/0/000")).content) == 8192
    missing = await registry.http.get("/log/tile/0/001.p/46")
    assert (missing.status_code, missing.json()["code"]) == (404, "X07REG_NOT_FOUND")
    await add_lines(registry, 1)
    await until_logged(registry, 302)
    assert (await registry.http.get("/log/tile/0/001.p/46")).status_code == 200


async def test_a_full_bundle_is_sent_compressed_to_who_takes_it(registry: Registry) -> None:
    """It decodes to the plain bytes; a partial one is sent uncompressed."""
    headers = {"accept-encoding": "identity"}
    plain = await registry.http.get("/log/tile/entries/000", headers=headers)
    async with registry.http.stream(
        "GET", "/log/tile/entries/000", headers={"accept-encoding": "zstd"}
    ) as answer:
        packed = b"".join([piece async for piece in answer.aiter_raw()])
    assert answer.headers["content-encoding"] == "zstd"
    assert answer.headers["vary"] == "accept-encoding"
    assert len(packed) < len(plain.content)
    assert zstandard.ZstdDecompressor().decompressobj().decompress(packed) == plain.content
    partial = await registry.http.get("/log/tile/entries/001.p/45", headers={"accept-encoding": "zstd"})
    assert "content-encoding" not in partial.headers


async def test_readers_see_the_next_checkpoint_as_soon_as_it_is_put(registry: Registry) -> None:
    """The worker announces it, so that nobody waits for a time-to-live."""
    before = (await registry.http.get("/log/checkpoint")).content
    await add_lines(registry, 1)
    await until_logged(registry, 302)

    async def is_seen() -> bool:
        return (await registry.http.get("/log/checkpoint")).content != before

    await eventually(is_seen)


@pytest.mark.parametrize("storage_settings", ["fs"], indirect=True)
async def test_the_fast_path_answers_checkpoint_and_tiles(registry: Registry) -> None:
    """It does so once it knows them, as with index files.

    A time-to-live that ends, or a new checkpoint, lets it ask for a file once more. Answers are counted with
    a delay, so a path answers fast if more answers were fast than the other paths had requests.
    """
    begun, others = FAST_OK._value.get(), 0
    for path in ("/log/checkpoint", "/log/tile/0/000", "/log/tile/entries/001.p/45"):
        requests = itertools.count(1)

        async def is_answered_fast(
            path: str = path, requests: Iterator[int] = requests, others: int = others
        ) -> bool:
            next(requests)
            assert (await registry.http.get(path)).status_code == 200
            return bool(FAST_OK._value.get() - begun > others)

        await eventually(is_answered_fast)
        others += next(requests) - 1
