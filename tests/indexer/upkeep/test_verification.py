"""Verification reports the differences between rows and storage, and nothing else, on both back ends."""

from __future__ import annotations

import asyncio

import pytest

from shared.blobs import CATALOG_KEY, CONFIG_KEY, archive_key, index_key, metadata_key, staging_key
from shared.names import PackageName
from shared.versions import VersionText
from tests.archives import hello_archive
from tests.indexer.upkeep.walks import kinds, overwrite, settle, verified
from tests.stack import Registry, bearer

HELLO, WORLD = PackageName("hello"), PackageName("hello-world")
FIRST = VersionText("0.1.0")


async def test_a_settled_registry_has_no_difference(settled: Registry) -> None:
    """Stored digests, bytes and signatures are all right."""
    assert await kinds(settled) == []
    assert await kinds(settled, deep=True) == []


async def test_each_missing_file_is_told(settled: Registry) -> None:
    """Each file is removed in turn."""
    registry = settled
    keys = [
        archive_key(HELLO, FIRST),
        metadata_key(HELLO, FIRST),
        index_key(HELLO),
        CATALOG_KEY,
        CONFIG_KEY,
    ]
    for key in keys:
        await registry.storage.delete(key)
    assert await kinds(registry) == sorted(("missing", key) for key in keys)


async def test_other_bytes_are_told(settled: Registry) -> None:
    """An archive has a checksum; a rendered file must equal what its rows render to."""
    registry = settled
    for key in (archive_key(HELLO, FIRST), index_key(HELLO), CATALOG_KEY, CONFIG_KEY):
        await overwrite(registry.storage, key, b"other bytes\n")
    assert await kinds(registry) == sorted(
        [
            ("wrong_checksum", archive_key(HELLO, FIRST)),
            ("stale", index_key(HELLO)),
            ("stale", CATALOG_KEY),
            ("stale", CONFIG_KEY),
        ]
    )


@pytest.mark.parametrize("storage_settings", ["fs"], indirect=True)
async def test_bytes_that_do_not_have_their_stored_digest_are_found_by_a_deep_walk(settled: Registry) -> None:
    """After bit rot in a directory, the stored digest still says that the bytes are right."""
    keys = [archive_key(HELLO, FIRST), metadata_key(HELLO, FIRST), index_key(WORLD)]
    for key in keys:
        with (settled.settings.data_dir / key).open("r+b") as file:
            first = file.read(1)
            file.seek(0)
            file.write(bytes([first[0] ^ 1]))
    assert await kinds(settled) == []
    assert await kinds(settled, deep=True) == sorted(("wrong_checksum", key) for key in keys)


async def test_what_no_row_asks_for_is_extra(settled: Registry) -> None:
    """Orphans of the older server, leftovers of a removed package, files of other programs."""
    registry = settled
    extras = [
        "dl/hello/9.9.9/download",
        "dl/nobody/1.0.0/metadata",
        "dl/readme",
        "index/no/bo/nobody",
        "index/no/bo/nobody.gz",
        "index/hello",
    ]
    for key in extras:
        await overwrite(registry.storage, key, b"x")
    assert await kinds(registry) == sorted(("extra", key) for key in extras)


@pytest.mark.parametrize("storage_settings", ["fs"], indirect=True)
async def test_a_wrong_signature_and_an_unknown_key_are_told(settled: Registry) -> None:
    """Clients that verify would refuse these versions."""
    registry = settled
    await registry.rows(
        "UPDATE package_versions SET signature_bytes = set_byte(signature_bytes, 0, "
        "get_byte(signature_bytes, 0) # 1) WHERE version = '0.1.0' RETURNING 1"
    )
    await registry.rows(
        "UPDATE package_versions SET signature_key_id = 'old' WHERE version = '1.0.0' RETURNING 1"
    )
    async with registry.database.transaction() as tx:
        await tx.exec_driver_sql("UPDATE index_state SET generation = generation + 1")
    await settle(registry)
    found = {(item.package, item.version): item for item in await verified(registry)}
    assert {str(item.kind) for item in found.values()} == {"wrong_signature"}
    assert set(found) == {("hello", "0.1.0"), ("hello-world", "1.0.0")}


async def test_old_staged_bytes_without_a_version_are_orphans(settled: Registry) -> None:
    """Young ones may belong to a publish that is about to commit."""
    registry = settled
    key = staging_key("ab" * 32, None)
    await overwrite(registry.storage, key, b"left behind")
    assert await kinds(registry) == []
    assert await kinds(registry, orphan_after_s=0) == [("orphan_staging", key)]


@pytest.mark.parametrize("storage_settings", ["fs"], indirect=True)
async def test_what_a_worker_has_not_done_yet_is_told_once_it_is_late(
    workerless_registry: Registry,
) -> None:
    """After a minute no worker is publishing it. Lost staged bytes are reported at once."""
    registry = workerless_registry
    await registry.publish(hello_archive(), await registry.add_publisher())
    await registry.rows("SELECT 1")
    fresh = [item for item in await kinds(registry) if item[1] not in (CATALOG_KEY, CONFIG_KEY)]
    assert fresh == []
    await registry.rows("UPDATE index_state SET dirty_since = now() - interval '2 minutes' RETURNING 1")
    late = [item for item in await kinds(registry) if item[1] not in (CATALOG_KEY, CONFIG_KEY)]
    assert late == [("unpublished", index_key(HELLO))]
    [key] = await registry.keys("staging/")
    await registry.storage.delete(key)
    assert ("missing", key) in await kinds(registry)


async def test_a_registry_that_changes_all_the_time_has_no_difference(registry: Registry) -> None:
    """Verification runs beside publishes, yanks and workers, without false reports."""
    user = await registry.add_user("alice")
    headers = bearer(await registry.add_token(user, "publish", "owner.manage"))
    await registry.publish(hello_archive(), headers)
    is_over = asyncio.Event()

    async def change() -> None:
        number = 0
        while not is_over.is_set():
            number += 1
            await registry.publish(hello_archive(version=f"0.2.{number}"), headers)
            yank = {"yanked": number % 2 == 0}
            await registry.http.post("/v1/packages/hello/0.1.0/yank", json=yank, headers=headers)

    changing = asyncio.create_task(change())
    try:
        for _ in range(8):
            assert await kinds(registry) == []
    finally:
        is_over.set()
        await changing


@pytest.mark.parametrize("storage_settings", ["fs"], indirect=True)
async def test_a_walk_can_begin_behind_a_name(settled: Registry) -> None:
    """A long walk that was interrupted can continue."""
    registry = settled
    for name in (HELLO, WORLD):
        await registry.storage.delete(index_key(name))
    assert await kinds(registry, after="hello") == [("missing", index_key(WORLD))]
