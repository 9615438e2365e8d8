"""The log grows by each line that readers see, once and in order, including lines from before it began."""

from __future__ import annotations

import asyncio
import hashlib
from base64 import b64encode
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
import pytest_asyncio
from pydantic import SecretStr

from indexer.log.sequencer import Sequencer
from shared.blobs import CHECKPOINT_KEY
from shared.errors import LogDiverged
from shared.storage.interface import Found
from tests.archives import hello_archive
from tests.conftest import MakeSettings
from tests.deploy.forked_commands import run
from tests.http.test_removal import remove
from tests.indexer.upkeep.walks import settle
from tests.log.go_reader import MISSING, GoReader
from tests.log.logs import (
    LOGGING,
    VKEY,
    add_lines,
    dump_log,
    head_of,
    index_lines_of,
    read_log,
    sequence,
    sequencer_of,
    until_logged,
    with_log,
)
from tests.loud import say_loudly
from tests.stack import Registry, eventually, running_registry
from worker.process import open_parts

YANK = "/v1/packages/hello/0.1.0/yank"


@pytest_asyncio.fixture
async def logging_registry(make_settings: MakeSettings) -> AsyncIterator[Registry]:
    """A registry with a log."""
    async with running_registry(await make_settings(**LOGGING)) as running:
        yield running


@pytest_asyncio.fixture
async def quiet_registry(make_settings: MakeSettings) -> AsyncIterator[Registry]:
    """A registry without a log and without a worker."""
    settings = await make_settings(publish_wait_seconds=0)
    async with running_registry(settings, with_worker=False) as running:
        yield running


@pytest.mark.parametrize("storage_settings", ["fs"], indirect=True)
async def test_each_change_of_a_line_is_one_entry(logging_registry: Registry) -> None:
    """Publish, yank, restore, advisory, its withdrawal, and removal; the last entry equals the line."""
    registry = logging_registry
    publisher = await registry.add_publisher("alice", "publish", "owner.manage")
    for version in ("0.1.0", "0.2.0"):
        assert (await registry.publish(hello_archive(version=version), publisher)).status_code == 200
    for is_yanked in (True, False):
        answer = await registry.http.post(YANK, json={"yanked": is_yanked}, headers=publisher)
        assert answer.status_code == 200
    warning = {"kind": "security", "severity": "high", "summary": "Bad."}
    url = "/v1/packages/hello/0.1.0/advisories"
    advisory = (await registry.http.post(url, json=warning, headers=publisher)).json()["advisory"]["id"]
    assert (await registry.http.post(f"{url}/{advisory}/withdraw", headers=publisher)).status_code == 200
    log = await until_logged(registry, 6)
    assert log.head.origin == LOGGING["log_origin"]
    states = [(line["yanked"], "advisories" in line) for line in log.lines_of("hello", "0.1.0")]
    assert states == [(False, False), (True, False), (False, False), (False, True), (False, False)]
    admin = await registry.add_user("admin")
    assert await remove(registry, "0.2.0", "admin", user_id=admin)
    log = await until_logged(registry, 7)
    tombstone = log.lines_of("hello", "0.2.0")[-1]
    assert tombstone == {
        "schema_version": "x07.index-tombstone@0.1.0",
        "name": "hello",
        "version": "0.2.0",
        "cksum": hashlib.sha256(hello_archive(version="0.2.0")).hexdigest(),
        "removed": True,
    }
    refused = await asyncio.to_thread(run, "log", "prove", "hello", "0.2.0", "--url", registry.url)
    assert (refused.returncode, refused.stderr) == (1, "x07-registry: hello 0.2.0 was removed\n")
    lines = await index_lines_of(registry.storage, "hello")
    assert list(lines) == [("hello", "0.1.0")]
    for release, line in lines.items():
        assert log.last_digests()[release] == hashlib.sha256(line).hexdigest()


@pytest.mark.parametrize("storage_settings", ["fs"], indirect=True)
async def test_a_publication_that_changes_no_line_is_no_entry(logging_registry: Registry) -> None:
    """Another owner changes only the catalog; putting a package again changes nothing."""
    registry = logging_registry
    publisher = await registry.add_publisher("alice", "publish", "owner.manage")
    await registry.add_user("bob")
    await registry.publish(hello_archive(), publisher)
    await until_logged(registry, 1)
    answer = await registry.http.post("/v1/packages/hello/owners", json={"handle": "bob"}, headers=publisher)
    assert answer.status_code == 200
    await registry.rows("UPDATE index_state SET generation = generation + 1 RETURNING 1")
    await registry.until_row("SELECT 1 FROM index_state WHERE generation = published_generation")
    await registry.publish(hello_archive(version="0.2.0"), publisher)
    await until_logged(registry, 2)


@pytest.mark.parametrize("storage_settings", ["fs"], indirect=True)
async def test_config_json_says_where_the_log_is_and_whose_signature_counts(
    logging_registry: Registry,
) -> None:
    """The other fields are unchanged."""

    async def published() -> httpx.Response | None:
        answer = await logging_registry.http.get("/index/config.json")
        return answer if answer.status_code == 200 else None

    config = (await eventually(published)).json()
    assert config["log"] == {"url": f"{logging_registry.settings.public_base}/log/", "vkey": VKEY}
    assert config["dl"].endswith("/v1/packages/")


@pytest.mark.parametrize("storage_settings", ["fs"], indirect=True)
async def test_a_registry_without_a_key_has_no_log(registry: Registry) -> None:
    """No rows are written for a log either."""
    publisher = await registry.add_publisher()
    assert (await registry.publish(hello_archive(), publisher)).status_code == 200
    assert "log" not in (await registry.http.get("/index/config.json")).json()
    assert await registry.keys("log/") == []
    assert await registry.rows("SELECT 1 FROM log_pending") == []


@pytest.mark.parametrize("storage_settings", ["fs"], indirect=True)
async def test_the_past_is_logged_once_in_the_order_of_publication(quiet_registry: Registry) -> None:
    """In an adopted or upgraded registry, the order is that of publication, not of names."""
    registry = quiet_registry
    publisher = await registry.add_publisher()
    releases = [
        ("zeta", "0.1.0"),
        ("alpha", "0.1.0"),
        ("zeta", "0.2.0"),
        ("mid", "1.0.0"),
        ("alpha", "0.0.9"),
    ]
    for name, version in releases:
        assert (await registry.publish(hello_archive(name, version), publisher)).status_code == 200
    await settle(registry)
    assert await head_of(registry.storage) is None
    assert await sequence(registry) == len(releases)
    log = await read_log(registry.storage)
    assert [(entry.name, entry.version) for entry in log.entries] == releases
    assert await sequence(registry) == 0
    assert (await head_of(registry.storage)) == log.head


@pytest.mark.parametrize("storage_settings", ["fs"], indirect=True)
async def test_what_a_worker_without_the_key_publishes_is_logged_too(quiet_registry: Registry) -> None:
    """For example, an older worker beside a newer one, or one without the key in its settings."""
    registry = quiet_registry
    publisher = await registry.add_publisher("alice", "publish", "owner.manage")
    await registry.publish(hello_archive(), publisher)
    await settle(registry)
    assert await sequence(registry) == 1
    await registry.http.post(YANK, json={"yanked": True}, headers=publisher)
    await registry.publish(hello_archive("other"), publisher)
    await settle(registry)  # by a worker without the key
    assert await sequence(registry) == 2
    log = await read_log(registry.storage)
    assert [line["yanked"] for line in log.lines_of("hello", "0.1.0")] == [False, True]


async def test_an_empty_registry_has_the_checkpoint_of_an_empty_log(quiet_registry: Registry) -> None:
    """Readers find it as soon as there is a log."""
    assert await sequence(quiet_registry) == 0
    log = await read_log(quiet_registry.storage)
    assert log.head.size == 0


@pytest.mark.parametrize("storage_settings", ["fs"], indirect=True)
async def test_a_line_that_no_bundle_can_hold_is_logged_by_its_digest(quiet_registry: Registry) -> None:
    """Docs may be long, but an entry has at most 65,535 bytes."""
    registry = quiet_registry
    publisher = await registry.add_publisher()
    await registry.publish(hello_archive(), publisher)
    await registry.rows(
        "UPDATE package_versions SET manifest = jsonb_set(manifest, '{docs}', to_jsonb(repeat('x', 70000))) "
        "RETURNING 1"
    )
    await settle(registry)
    assert await sequence(registry) == 1
    [entry] = (await read_log(registry.storage)).entries
    [line] = (await index_lines_of(registry.storage, "hello")).values()
    assert (entry.digest, entry.line_bytes) == (hashlib.sha256(line).hexdigest(), len(line))


async def test_partial_tiles_go_once_the_full_one_is_there(quiet_registry: Registry) -> None:
    """Files that the last two checkpoints need are kept."""
    registry = quiet_registry
    await sequence(registry)
    for step in (100, 100, 100, 300):
        await add_lines(registry, step)
        assert await sequence(registry) == step
    keys = await registry.keys("log/")
    assert "log/tile/entries/000" in keys
    assert not [key for key in keys if key.startswith(("log/tile/entries/000.p", "log/tile/0/000.p"))]
    assert (await read_log(registry.storage)).head.size == 600


@pytest.mark.parametrize("storage_settings", ["fs"], indirect=True)
async def test_a_log_of_thousands_is_read_by_go(
    quiet_registry: Registry, go_reader: GoReader | None, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    """The backlog is larger than one turn can handle."""
    registry = quiet_registry
    await sequence(registry)
    await add_lines(registry, 20_000)
    assert await sequence(registry) == 20_000
    if go_reader is None:
        say_loudly(request, MISSING)
        return
    await dump_log(registry.storage, tmp_path / "log")
    assert go_reader.read(tmp_path / "log", VKEY)["size"] == 20_000


async def test_two_sequencers_at_once_make_one_history(quiet_registry: Registry) -> None:
    """The second one does not wait for the lock; and even without a lock, only one of them signs."""
    registry = quiet_registry
    await sequence(registry)
    await add_lines(registry, 10)
    async with open_parts(with_log(registry.settings)) as parts:
        one, other = sequencer_of(parts), sequencer_of(parts)
        published, state = await _seen(one)
        await add_lines(registry, 5)
        assert await other.run() == 15
        with pytest.raises(Exception, match="at the same time"):
            await one._grow(state, published)
        await add_lines(registry, 5)
        assert await one.run() == 5
    assert (await read_log(registry.storage)).head.size == 20


async def test_a_worker_with_another_key_signs_nothing(quiet_registry: Registry) -> None:
    """It would replace the checkpoint by one that no client accepts."""
    registry = quiet_registry
    await sequence(registry)
    before = await registry.storage.get(CHECKPOINT_KEY)
    await add_lines(registry, 3)
    other = SecretStr(b64encode(bytes(32)).decode())
    settings = with_log(registry.settings).model_copy(update={"log_key_b64": other})
    async with open_parts(settings) as parts:
        with pytest.raises(LogDiverged, match="X07_REGISTRY_LOG_KEY_B64 is not the key of the log"):
            await sequencer_of(parts).run()
    assert await registry.storage.get(CHECKPOINT_KEY) == before
    assert await sequence(registry) == 3


async def _seen(sequencer: Sequencer) -> tuple[object, object]:
    """The state that a turn reads at its beginning."""
    return await sequencer.published(), await sequencer.require_state()


async def test_a_checkpoint_that_did_not_reach_storage_is_put_by_the_next_turn(
    quiet_registry: Registry,
) -> None:
    """The head in Postgres is at most one step ahead."""
    registry = quiet_registry
    await sequence(registry)
    found = await registry.storage.get("log/checkpoint")
    assert isinstance(found, Found)
    await add_lines(registry, 3)
    await sequence(registry)
    newer = await registry.storage.get("log/checkpoint")
    assert isinstance(newer, Found)
    await registry.storage.put("log/checkpoint", found.body, content_type="text/plain", digest=found.digest)
    assert await sequence(registry) == 0
    again = await registry.storage.get("log/checkpoint")
    assert isinstance(again, Found)
    assert again.body == newer.body


@pytest.mark.parametrize("restored", ["database", "storage", "other history", "no checkpoint"])
async def test_nothing_is_signed_while_database_and_storage_disagree(
    quiet_registry: Registry, restored: str
) -> None:
    """This holds whichever is older, and for another history."""
    registry = quiet_registry
    await sequence(registry)
    await add_lines(registry, 3)
    await sequence(registry)
    early = await registry.storage.get("log/checkpoint")
    assert isinstance(early, Found)
    dump = (await registry.rows("SELECT * FROM log_state"))[0]
    for _ in range(2):
        await add_lines(registry, 3)
        await sequence(registry)
    match restored:
        case "database":
            await registry.rows(
                "UPDATE log_state SET size = :size, root = :root, edge = :edge, previous_size = :p, "
                "previous_root = :r RETURNING 1",
                size=dump.size,
                root=dump.root,
                edge=dump.edge,
                p=dump.previous_size,
                r=dump.previous_root,
            )
        case "storage":
            await registry.storage.put(
                "log/checkpoint", early.body, content_type="text/plain", digest=early.digest
            )
        case "other history":
            await registry.rows("UPDATE log_state SET root = :root RETURNING 1", root=bytes(32))
        case _:
            await registry.storage.delete("log/checkpoint")
    before = await registry.storage.get("log/checkpoint")
    await add_lines(registry, 1)
    with pytest.raises(LogDiverged):
        await sequence(registry)
    after = await registry.storage.get("log/checkpoint")
    assert getattr(after, "body", None) == getattr(before, "body", None)
