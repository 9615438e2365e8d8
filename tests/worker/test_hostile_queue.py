"""Whoever can write to Redis: garbage and forged messages in the queue and on the channel do no harm."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis

from shared.blobs import index_key
from shared.jobs import LONGEST_QUEUE, Notifier, change_channel, queue_name
from shared.names import PackageName
from tests.archives import hello_archive, json_bytes
from tests.stack import Registry, eventually


class Touch:
    """Unpickling it makes a file: what pickle on the wire would let a writer to Redis do."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self._path,)


def wake_up(packages: Any, **others: Any) -> bytes:
    """A wake-up on the wire."""
    return json_bytes({"packages": packages, **others})


FORGED_WAKE_UPS = {
    "bytes": b"\x00\xff\x80garbage",
    "empty": b"",
    "json of nothing": b"null",
    "no wake-up": b'{"f":1}',
    "an arq job of an older registry": b'{"t":null,"f":"publish_packages","a":[["hello"],{}],"k":{},"et":1}',
    "names of another type": wake_up(7),
    "names of other types": wake_up([None, {}, 1e308]),
    "keywords": wake_up([], command="touch /tmp/x"),
    "paths for names": wake_up(["../../etc/passwd", "hello/../..", "\0", "x" * 100_000]),
    "traces of another type": wake_up(["hello"], traces=[1]),
    "unknown packages": wake_up(["nobody"] * 100, traces={"nobody": {"traceparent": "x"}}),
}


@pytest.fixture
def planted(tmp_path: Path) -> Path:
    """A file that is there only if something was unpickled."""
    return tmp_path / "planted"


async def test_forged_wake_ups_do_nothing_and_hold_nobody_up(fs_registry: Registry, planted: Path) -> None:
    """Only JSON is read, only names are believed, and those are looked up."""
    settings = fs_registry.settings
    queue = queue_name(settings)
    before = await fs_registry.keys()
    async with Redis.from_url(settings.redis_url.get_secret_value()) as redis:
        for body in (*FORGED_WAKE_UPS.values(), pickle.dumps(Touch(planted))):
            await redis.rpush(queue, body)

        published = await fs_registry.publish(hello_archive(), await fs_registry.add_publisher())

        assert published.status_code == 200
        assert published.headers["x-x07-index-published"] == "true"
        await fs_registry.until_in_catalog("hello", "0.1.0")
        assert await redis.llen(queue) == 0
    assert not planted.exists()
    added = set(await fs_registry.keys()) - set(before)
    assert all("hello" in key or key.startswith("index/c") for key in added), added


async def test_a_queue_that_is_no_list_is_removed(fs_registry: Registry) -> None:
    """It would else keep every wake-up from every worker, and publishes would wait for the sweep for ever."""
    settings = fs_registry.settings
    headers = await fs_registry.add_publisher()
    async with Redis.from_url(settings.redis_url.get_secret_value()) as redis:
        await redis.set(queue_name(settings), "no list")

        async def is_gone() -> bool:
            return not await redis.exists(queue_name(settings))

        await eventually(is_gone)
    published = await fs_registry.publish(hello_archive(), headers)
    assert published.status_code == 200
    await fs_registry.until_in_catalog("hello", "0.1.0")


async def test_a_queue_that_nobody_empties_does_not_grow_without_end(workerless_registry: Registry) -> None:
    """The sweep of the next worker does what the oldest wake-ups were for."""
    settings = workerless_registry.settings
    queue, notifier = queue_name(settings), Notifier(settings)
    async with Redis.from_url(settings.redis_url.get_secret_value()) as redis:
        await redis.rpush(queue, *[b"old"] * LONGEST_QUEUE)
        await notifier.wake_worker("hello")
        await notifier.close()
        assert await redis.llen(queue) == LONGEST_QUEUE
        assert await redis.lindex(queue, -1) == b'{"packages":["hello"],"traces":{}}'


FORGED_CHANGES = {
    "bytes": b"\x00\xff\x80garbage",
    "other json": b"[1,2,3]",
    "other types": json_bytes({"keys": 7}),
    "keys that are none": json_bytes({"keys": ["../../etc/passwd", "\0", "x" * 100_000, ""]}),
    "a package of another type": json_bytes({"keys": [], "package": ["hello"], "generation": "1"}),
    "a generation to come": json_bytes({"keys": [], "package": "hello", "generation": 2**63 - 1}),
    "all keys": json_bytes({"keys": [index_key(PackageName("hello"))] * 1000, "package": "hello"}),
}


async def test_forged_changes_never_change_what_readers_get(fs_registry: Registry, planted: Path) -> None:
    """They evict at most: every body comes from storage, and the next change is heard."""
    headers = await fs_registry.add_publisher()
    settings = fs_registry.settings
    await fs_registry.publish(hello_archive(), headers)
    index = (await fs_registry.http.get("/index/he/ll/hello")).content
    async with Redis.from_url(settings.redis_url.get_secret_value()) as redis:
        for body in (*FORGED_CHANGES.values(), pickle.dumps(Touch(planted))):
            assert await redis.publish(change_channel(settings), body) >= 1, "nobody listens"
            assert (await fs_registry.http.get("/index/he/ll/hello")).content == index
    published = await fs_registry.publish(hello_archive(version="0.2.0"), headers)
    assert published.status_code == 200
    assert (await fs_registry.http.get("/healthz")).status_code == 200

    async def is_seen() -> bool:
        return b'"0.2.0"' in (await fs_registry.http.get("/index/he/ll/hello")).content

    await eventually(is_seen)
    assert not planted.exists()


async def test_nothing_of_ours_unpickles() -> None:
    """Pickle anywhere would make every writer to Redis, or to a pipe, a master of the process."""
    root = Path(__file__).parents[2]
    folders = ("api", "deploy", "indexer", "shared", "worker")
    sources = [path for folder in folders for path in (root / folder).rglob("*.py")]
    assert len(sources) > 100
    for path in sources:
        text = path.read_text()
        assert not any(word in text for word in ("import pickle", "import marshal", "import shelve")), path
