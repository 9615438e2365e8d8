"""Simultaneous publishes share a transaction, and each gets its own answer."""

from __future__ import annotations

import asyncio
from typing import Any

from tests.archives import build_archive, hello_archive, hello_manifest, listed_files
from tests.stack import Registry


async def codes_of(registry: Registry, *posts: tuple[bytes, dict[str, str]]) -> list[Any]:
    """Send all at once. Returns the status or the refusal's code of each."""
    answers = await asyncio.gather(*(registry.publish(*post) for post in posts))
    return [answer.json().get("code", answer.status_code) for answer in answers]


async def test_each_publish_of_a_burst_has_its_own_outcome(registry: Registry) -> None:
    """New packages, new versions, a stranger's publish and an existing version arrive at the same time."""
    alice, bob = await registry.add_publisher("alice"), await registry.add_publisher("bob")
    await registry.publish(hello_archive(name="taken"), alice)
    outcomes = await codes_of(
        registry,
        (hello_archive(name="new-a"), alice),
        (hello_archive(name="taken"), alice),
        (hello_archive(name="taken", version="0.2.0"), alice),
        (hello_archive(name="taken", version="9.0.0"), bob),
        (hello_archive(name="new-b"), bob),
    )
    assert outcomes == [200, "X07REG_ALREADY_PUBLISHED", 200, "X07REG_FORBIDDEN", 200]
    for name, latest in (("new-a", "0.1.0"), ("taken", "0.2.0"), ("new-b", "0.1.0")):
        await registry.until_in_catalog(name, latest)
    rows = await registry.rows(
        "SELECT p.name, u.handle FROM packages p JOIN package_owners o ON o.package_id = p.id "
        "JOIN users u ON u.id = o.user_id ORDER BY p.name"
    )
    assert [tuple(row) for row in rows] == [
        ("new-a", "alice"),
        ("new-b", "bob"),
        ("taken", "alice"),
    ]


async def test_versions_of_one_package_at_once_all_count(registry: Registry) -> None:
    """They cannot share a statement; in any order, the greatest becomes the latest."""
    headers = await registry.add_publisher()
    versions = [f"0.{minor}.0" for minor in range(6)]
    posts = [(hello_archive(version=version), headers) for version in versions]
    assert await codes_of(registry, *posts) == [200] * 6
    await registry.until_in_catalog("hello", "0.5.0")
    lines = (await registry.http.get("/index/he/ll/hello?x07_refresh=1")).text.splitlines()
    assert len(lines) == 6
    generations = await registry.rows("SELECT generation, published_generation FROM index_state")
    assert [tuple(row) for row in generations] == [(6, 6)]


async def test_the_same_bytes_posted_at_once_are_published_once_and_never_lost(registry: Registry) -> None:
    """They share no staged upload: a losing publish must not delete the winner's bytes."""
    headers, archive = await registry.add_publisher(), hello_archive()
    outcomes = await codes_of(registry, *[(archive, headers)] * 12)
    assert sorted(outcomes, key=str) == [200] + ["X07REG_ALREADY_PUBLISHED"] * 11
    download = await registry.http.get("/v1/packages/hello/0.1.0/download")
    assert download.content == archive


async def test_a_manifest_that_cannot_be_stored_fails_alone(fs_registry: Registry) -> None:
    """Postgres refuses the whole statement; the others of the batch are committed without it."""
    headers = await fs_registry.add_publisher()
    manifest = {**hello_manifest("poisoned"), "note": "a NUL: \0"}
    posts = [
        (hello_archive(name="before"), headers),
        (build_archive(manifest, listed_files(manifest)), headers),
        (hello_archive(name="after"), headers),
    ]
    good, bad, fine = await asyncio.gather(*(fs_registry.publish(*post) for post in posts))
    assert (good.status_code, bad.status_code, fine.status_code) == (200, 400, 200)
    assert [row.name for row in await fs_registry.rows("SELECT name FROM packages ORDER BY name")] == [
        "after",
        "before",
    ]
