"""Healing: a worker finds index files that differ from their rows, and makes their packages dirty."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from indexer import recent_publications
from indexer.recent_publications import RecentPublications
from indexer.rows import VersionRow
from indexer.upkeep.healing import (
    MAX_PER_S,
    MIN_PER_TURN,
    ROUND_S,
    TURN_S,
    Healing,
    documents_of_round,
    pace_of,
)
from shared.blobs import NDJSON_TYPE, index_key, metadata_key, package_key
from shared.names import PackageName
from shared.storage.interface import Found
from shared.versions import VersionText
from tests.archives import hello_archive
from tests.indexer.upkeep.walks import body_of, kinds, overwrite, settle
from tests.stack import Registry, eventually
from worker.process import open_parts

HELLO, WORLD = PackageName("hello"), PackageName("hello-world")
NOW = datetime.now(UTC)
FIRST, ONLY = VersionText("0.1.0"), VersionText("1.0.0")


@pytest.mark.parametrize(
    ("versions", "rounds", "at_most"),
    [(0, 1, 0), (4, 1, 4), (5, 2, 3), (56, 14, 4), (1400, 14, 100), (10_000, 100, 100)],
)
def test_every_document_is_checked_within_a_known_number_of_rounds(
    versions: int, rounds: int, at_most: int
) -> None:
    """Up to 1,400 versions that is a week; one look never checks more than 100 documents."""
    rows = [
        VersionRow(VersionText(f"0.0.{n}"), "", False, "{}", published_at=NOW, metadata_digest="d")
        for n in range(versions)
    ]
    checked = [documents_of_round(rows, number) for number in range(7, 7 + rounds)]
    assert max(map(len, checked)) == at_most
    assert sorted(row.version for part in checked for row in part) == sorted(row.version for row in rows)


async def healed(registry: Registry) -> set[PackageName]:
    """The packages that a walk over all packages makes dirty."""
    async with open_parts(registry.settings) as parts:
        healing = Healing(parts)
        return {name for _ in range(5) for name in await healing.turn()}


async def test_an_older_index_file_is_found_and_put_again(settled: Registry) -> None:
    """It was put late, and nothing is dirty, so no sweep would find it."""
    before = await body_of(settled.storage, index_key(HELLO))
    older = before.splitlines(keepends=True)[0]
    await overwrite(settled.storage, index_key(HELLO), older)
    await settled.storage.delete(index_key(WORLD))
    assert await healed(settled) == {HELLO, WORLD}
    await settle(settled)
    assert await body_of(settled.storage, index_key(HELLO)) == before
    assert await kinds(settled) == []
    assert await healed(settled) == set()


async def test_an_older_page_or_variant_is_found_and_put_again(settled: Registry) -> None:
    """The index file is right, but a file beside it is not."""
    page, variant = package_key(HELLO), f"{index_key(WORLD)}.gz"
    before = await body_of(settled.storage, page)
    await overwrite(settled.storage, page, b"{}")
    digest = hashlib.sha256(b"older").hexdigest()
    await settled.storage.put(
        variant, b"older", content_type=NDJSON_TYPE, digest=digest, identity_digest=digest
    )
    assert await healed(settled) == {HELLO, WORLD}
    await settle(settled)
    assert await body_of(settled.storage, page) == before
    assert await kinds(settled) == []
    assert await healed(settled) == set()


async def test_an_older_or_missing_metadata_document_is_found_and_put_again(settled: Registry) -> None:
    """Index file, page and variants are right."""
    older, missing = (metadata_key(name, version) for name, version in ((HELLO, FIRST), (WORLD, ONLY)))
    before = [await body_of(settled.storage, key) for key in (older, missing)]
    await overwrite(settled.storage, older, b"{}")
    await settled.storage.delete(missing)
    assert await healed(settled) == {HELLO, WORLD}
    await settle(settled)
    assert [await body_of(settled.storage, key) for key in (older, missing)] == before
    assert await kinds(settled) == []
    assert await healed(settled) == set()


async def test_a_file_of_another_generation_is_put_again(settled: Registry) -> None:
    """Its bytes are right, but the next put must know which generation it replaces."""
    found = await settled.storage.get(index_key(HELLO))
    assert isinstance(found, Found)
    generation = found.info.generation - 1
    assert generation > 0
    await settled.storage.delete(index_key(HELLO))
    await settled.storage.put(
        index_key(HELLO), found.body, content_type=NDJSON_TYPE, digest=found.digest, generation=generation
    )
    assert await healed(settled) == {HELLO}


async def test_what_was_published_lately_does_not_wait_for_its_turn(
    settled: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On S3 an older put can land late; it is found in the next turn, wherever the round is."""
    monkeypatch.setattr(recent_publications, "CHECKED_AFTER_S", (0.0, 3600.0))
    await overwrite(settled.storage, index_key(HELLO), b"")
    async with open_parts(settled.settings) as opened:
        parts = replace(opened, recent=RecentPublications())
        healing = Healing(parts)
        monkeypatch.setattr(healing, "_after", HELLO)  # the round is past it
        assert await healing.turn() == []
        assert parts.recent is not None
        parts.recent.note([HELLO])
        monkeypatch.setattr(healing, "_after", HELLO)
        assert await healing.turn() == [HELLO]


@pytest.mark.parametrize("storage_settings", ["fs"], indirect=True)
async def test_what_waits_to_be_published_is_not_healed(workerless_registry: Registry) -> None:
    """Its publication corrects it."""
    await workerless_registry.publish(hello_archive(), await workerless_registry.add_publisher())
    assert await healed(workerless_registry) == set()


@pytest.mark.parametrize("storage_settings", ["fs"], indirect=True)
async def test_a_worker_heals_without_being_asked(registry: Registry) -> None:
    """For a small registry this takes seconds."""
    answer = await registry.publish(hello_archive(), await registry.add_publisher())
    assert answer.status_code == 200
    before = await body_of(registry.storage, index_key(HELLO))
    await overwrite(registry.storage, index_key(HELLO), b"")

    async def is_back() -> bool:
        return await body_of(registry.storage, index_key(HELLO)) == before

    await eventually(is_back)


@pytest.mark.parametrize("count", [0, 1, 1_000, 100_000, 1_000_000])
def test_the_pace_takes_every_package_within_a_day_and_is_bounded(count: int) -> None:
    """This holds up to a million packages; the rate of requests to storage is limited."""
    pace = pace_of(count)
    assert MIN_PER_TURN <= pace <= MAX_PER_S * TURN_S
    assert count / pace * TURN_S <= max(2 * ROUND_S, TURN_S)
