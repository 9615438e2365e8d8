"""Whoever can write to Redis: garbage and forged messages in the queue and on the channel do no harm."""

from __future__ import annotations

import pickle
import time
from pathlib import Path
from typing import Any

import pytest
from arq.constants import job_key_prefix
from redis.asyncio import Redis

from shared.blobs import index_key
from shared.jobs import PUBLISH_PACKAGES, change_channel, queue_name
from shared.names import PackageName
from tests.archives import hello_archive, json_bytes
from tests.stack import Registry, eventually


class Touch:
    """Unpickling it makes a file: what pickle on the wire would let a writer to Redis do."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self._path,)


def job(function: str = PUBLISH_PACKAGES, args: Any = ((), {}), **kwargs: Any) -> bytes:
    """A job as arq stores it."""
    return json_bytes({"t": None, "f": function, "a": args, "k": kwargs, "et": int(time.time() * 1000)})


FORGED_JOBS = {
    "bytes": b"\x00\xff\x80garbage",
    "empty": b"",
    "json of nothing": b"null",
    "no job": b'{"f":1}',
    "unknown function": job("os.system", ["touch /tmp/x"]),
    "no arguments": job(args=[]),
    "arguments of other types": job(args=[7, 7]),
    "names of other types": job(args=[[None, {}, 1e308], {}]),
    "keywords": job(args=[], command="x"),
    "paths for names": job(args=[["../../etc/passwd", "hello/../..", "\0", "x" * 100_000], {}]),
    "traces of another type": job(args=[["hello"], [1]]),
    "unknown packages": job(args=[["nobody"] * 100, {"nobody": "trace"}]),
}


@pytest.fixture
def planted(tmp_path: Path) -> Path:
    """A file that is there only if something was unpickled."""
    return tmp_path / "planted"


async def test_forged_jobs_do_nothing_and_hold_nobody_up(fs_registry: Registry, planted: Path) -> None:
    """Only JSON is read, only names are believed, and those are looked up; a poisoned queue is emptied."""
    settings = fs_registry.settings
    queue = queue_name(settings)
    async with Redis.from_url(settings.redis_url.get_secret_value()) as redis:
        forged = {**FORGED_JOBS, "pickle": pickle.dumps(Touch(planted))}
        for name, body in forged.items():
            if body:
                await redis.set(f"{job_key_prefix}{settings.redis_namespace}-{name}", body)
            await redis.zadd(queue, {f"{settings.redis_namespace}-{name}": 1})
        await redis.zadd(queue, {b"\xff\xfe not text": 1})
        before = await fs_registry.keys()

        published = await fs_registry.publish(hello_archive(), await fs_registry.add_publisher())

        assert published.status_code == 200
        await fs_registry.until_in_catalog("hello", "0.1.0")

        async def is_empty() -> bool:
            return bool(await redis.zcard(queue) == 0)

        await eventually(is_empty)
    assert not planted.exists()
    added = set(await fs_registry.keys()) - set(before)
    assert all("hello" in key or key.startswith("index/c") for key in added), added


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
