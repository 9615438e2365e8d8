"""Garbage and forged messages in Redis do no harm."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import pytest
from arq.constants import job_key_prefix
from redis.asyncio import Redis

from shared.blobs import index_key
from shared.jobs import JOB_EXPIRES_S, LONGEST_QUEUE, queue_name
from shared.messages import Notifier, change_channel
from shared.names import PackageName
from tests.archives import hello_archive, json_bytes
from tests.stack import Registry, eventually


class Touch:
    """Creates a file when unpickled, as an attacker in Redis could do with pickle."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self._path,)


def job(*arguments: Any, function: Any = "publish_packages", **others: Any) -> bytes:
    """The body of a job, as arq reads it."""
    return json_bytes({"t": None, "f": function, "a": arguments, "k": {}, "et": 1} | others)


FORGED_JOBS = {
    "bytes": b"\x00\xff\x80garbage",
    "empty": b"",
    "json of nothing": b"null",
    "no job": b'{"f":1}',
    "an unknown function": job(function="os.system"),
    "a function of another type": job(function={"a": []}),
    "no arguments": job(),
    "too many arguments": job(1, 2, 3, 4, 5),
    "arguments of another type": job(a=7),
    "keywords": job([], k={"command": "touch /tmp/x"}),
    "a time of another type": job(["hello"], {}, et="now"),
    "a try of another type": job(["hello"], {}, t="first"),
    "names of another type": job(7, {}),
    "names of other types": job([None, {}, 1e308], {}),
    "paths for names": job(["../../etc/passwd", "hello/../..", "\0", "x" * 100_000], {}),
    "traces of another type": job(["hello"], [1]),
    "unknown packages": job(["nobody"] * 100, {"nobody": {"traceparent": "x"}}),
}


@pytest.fixture
def planted(tmp_path: Path) -> Path:
    """A file that exists only if something was unpickled."""
    return tmp_path / "planted"


async def test_forged_jobs_do_nothing_and_hold_nobody_up(fs_registry: Registry, planted: Path) -> None:
    """Only JSON is read, only valid names are accepted, and they are looked up."""
    settings = fs_registry.settings
    queue = queue_name(settings)
    before = await fs_registry.keys()
    async with Redis.from_url(settings.redis_url.get_secret_value()) as redis:
        for number, body in enumerate((*FORGED_JOBS.values(), pickle.dumps(Touch(planted)))):
            await redis.set(f"{job_key_prefix}forged-{number}", body, ex=60)
            await redis.zadd(queue, {f"forged-{number}": number, b"\xff\xfe": 1, "without a body": 1})
        await redis.set(job_key_prefix.encode() + b"\xff\xfe", b"{}", ex=60)

        published = await fs_registry.publish(hello_archive(), await fs_registry.add_publisher())

        assert published.status_code == 200
        assert published.headers["x-x07-index-published"] == "true"
        await fs_registry.until_in_catalog("hello", "0.1.0")

        async def is_empty() -> bool:
            return await redis.zcard(queue) == 0

        await eventually(is_empty)
    assert not planted.exists()
    added = set(await fs_registry.keys()) - set(before)
    assert all("hello" in key or key.startswith("index/c") for key in added), added


async def test_a_queue_of_another_kind_is_removed(fs_registry: Registry) -> None:
    """Otherwise no worker would get jobs, and all publishes would wait for the sweep."""
    settings = fs_registry.settings
    headers = await fs_registry.add_publisher()
    async with Redis.from_url(settings.redis_url.get_secret_value()) as redis:
        await redis.set(queue_name(settings), "no queue")

        async def is_gone() -> bool:
            return await redis.type(queue_name(settings)) != b"string"

        await eventually(is_gone)
    published = await fs_registry.publish(hello_archive(), headers)
    assert published.status_code == 200
    await fs_registry.until_in_catalog("hello", "0.1.0")


@pytest.mark.parametrize("storage_settings", ["fs"], indirect=True)
async def test_a_queue_that_nobody_empties_does_not_grow_without_end(workerless_registry: Registry) -> None:
    """The sweep of the next worker covers the oldest jobs, whose bodies expire."""
    settings = workerless_registry.settings
    queue, notifier = queue_name(settings), Notifier(settings)
    async with Redis.from_url(settings.redis_url.get_secret_value()) as redis:
        await redis.zadd(queue, {f"old-{number}": number for number in range(LONGEST_QUEUE)})
        await notifier.wake_worker("hello")
        await notifier.close()
        assert await redis.zcard(queue) == LONGEST_QUEUE
        assert await redis.zscore(queue, "old-0") is None
        [newest] = await redis.zrange(queue, -1, -1)
        key = job_key_prefix.encode() + newest
        body = json.loads(await redis.get(key))
        assert (body["f"], body["a"]) == ("publish_packages", [["hello"], {}])
        assert 0 < await redis.ttl(key) <= JOB_EXPIRES_S


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
    """They only evict: every body comes from storage, and the next real change is heard."""
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
    """With pickle, everybody who can write to Redis, or to a pipe, could run code in the process."""
    root = Path(__file__).parents[2]
    folders = ("api", "deploy", "indexer", "shared", "worker")
    sources = [path for folder in folders for path in (root / folder).rglob("*.py")]
    assert len(sources) > 100
    for path in sources:
        text = path.read_text()
        assert not any(word in text for word in ("import pickle", "import marshal", "import shelve")), path
