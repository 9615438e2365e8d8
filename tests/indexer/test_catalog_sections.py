"""The catalog that is made from kept sections has the bytes of one that is made from rows."""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest

from indexer import catalog_sections
from indexer.catalog import render_catalog
from indexer.catalog_publication import GZIP_KEY, ZSTD_KEY, publish_catalog
from indexer.catalog_sections import KeptCatalog
from indexer.parts import Parts
from indexer.queries.catalog import catalog_lines
from shared.blobs import CATALOG_KEY, JSON_TYPE
from shared.storage.interface import Found
from tests.stack import Registry
from worker.process import open_parts

ADD = """
    WITH one AS (SELECT id FROM users LIMIT 1), added AS (
        INSERT INTO packages (name, created_by)
        SELECT name, one.id FROM one, unnest(CAST(%s AS text[])) AS name
        RETURNING id, name
    ), changed AS (INSERT INTO catalog_changes (package_id) SELECT id FROM added)
    INSERT INTO index_state (package_id, generation, published_generation, catalog_line)
    SELECT id, 1, 1, convert_to('{"name":"' || name || '"}', 'UTF8') FROM added
"""
CHANGE = """
    WITH changed AS (
        UPDATE index_state SET catalog_line = convert_to('{"changed":true}', 'UTF8')
        WHERE package_id IN (SELECT id FROM packages WHERE name = '%s') RETURNING package_id
    )
    INSERT INTO catalog_changes (package_id) SELECT package_id FROM changed
"""


@pytest.fixture(autouse=True)
def small_sections(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sections of few names, so that few packages make many of them."""
    monkeypatch.setattr(catalog_sections, "SECTION_NAMES", 4)
    monkeypatch.setattr(catalog_sections, "FULL_NAMES", 8)
    monkeypatch.setattr(catalog_sections, "GARBAGE_BYTES", 256)


@asynccontextmanager
async def parts_of(registry: Registry) -> AsyncIterator[Parts]:
    """A worker's parts, over a registry with a user and no worker."""
    await registry.add_publisher()
    async with open_parts(registry.settings) as parts:
        yield parts


async def run(parts: Parts, statement: str) -> None:
    """Run a statement and commit."""
    async with parts.database.transaction() as tx:
        await tx.exec_driver_sql(statement)


async def add(parts: Parts, names: Sequence[str]) -> None:
    """Insert packages as if a worker had published them."""
    await run(parts, ADD % ("'{" + ",".join(names) + "}'"))


async def require_as_of_rows(parts: Parts) -> None:
    """The catalog in storage is that of the rows, and so is its variant."""
    async with parts.database.transaction() as tx:
        body = b"".join([chunk async for chunk in render_catalog(catalog_lines(tx))])
    found, packed = await parts.storage.get(CATALOG_KEY), await parts.storage.get(GZIP_KEY)
    assert isinstance(found, Found)
    assert found.body == body
    assert found.digest == hashlib.sha256(body).hexdigest()
    if isinstance(packed, Found):
        assert gzip.decompress(packed.body) == body
        assert packed.info.identity_digest == found.digest
        assert packed.digest == hashlib.sha256(packed.body).hexdigest()


@pytest.mark.parametrize("storage_settings", ["fs"], indirect=True)
async def test_every_change_gives_the_bytes_that_rows_give(workerless_registry: Registry) -> None:
    """Packages are added before, among and behind those there, changed and removed, and sections split."""
    async with parts_of(workerless_registry) as parts:
        kept = KeptCatalog()
        for names in (
            [],
            ["m"],
            [f"m{number:02}" for number in range(40)],
            ["a"],
            ["z", "zz"],
            [f"m20-{letter}" for letter in "abcdefghijklm"],
            ["m99"],
        ):
            await add(parts, names)
            assert await publish_catalog(parts, kept)
            await require_as_of_rows(parts)
        await run(parts, CHANGE % "m20-c")
        assert await publish_catalog(parts, kept)
        await require_as_of_rows(parts)
        await run(parts, CHANGE % "m05")
        await run(parts, "DELETE FROM packages WHERE name LIKE 'm0_'")
        assert await publish_catalog(parts, kept)
        await require_as_of_rows(parts)


@pytest.mark.parametrize("storage_settings", ["fs"], indirect=True)
async def test_only_sections_with_changes_are_made_anew(workerless_registry: Registry) -> None:
    """The other sections keep their place in the file."""
    async with parts_of(workerless_registry) as parts:
        await add(parts, [f"m{number:02}" for number in range(40)])
        kept = KeptCatalog()
        assert await publish_catalog(parts, kept)
        before = set(kept.sections)
        await run(parts, CHANGE % "m17")
        assert await publish_catalog(parts, kept)
        assert len(before - set(kept.sections)) == 1


async def test_a_catalog_that_another_process_put_makes_the_sections_worthless(
    workerless_registry: Registry,
) -> None:
    """The other one has taken the changes with it."""
    async with parts_of(workerless_registry) as parts:
        await add(parts, [f"m{number:02}" for number in range(20)])
        kept = KeptCatalog()
        assert await publish_catalog(parts, kept)
        await run(parts, CHANGE % "m03")
        assert await publish_catalog(parts)
        await run(parts, CHANGE % "m17")
        assert await publish_catalog(parts, kept)
        await require_as_of_rows(parts)


async def test_the_variant_of_an_older_release_is_removed(workerless_registry: Registry) -> None:
    """A plain file server would go on sending it."""
    async with parts_of(workerless_registry) as parts:
        digest = hashlib.sha256(b"old").hexdigest()
        await parts.storage.put(ZSTD_KEY, b"old", content_type=JSON_TYPE, digest=digest)
        assert await publish_catalog(parts)
        assert await parts.storage.head(ZSTD_KEY) is None
