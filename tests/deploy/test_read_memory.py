"""The memory of a read process with the cache of a small machine, under every kind of load; printed."""

from __future__ import annotations

import os
from collections.abc import Mapping
from hashlib import sha256
from typing import Any

import pytest

from shared.blobs import CONFIG_KEY
from shared.concurrency import together
from shared.names import parse_name, shard_path
from shared.setting_groups.reading import LEAST_CACHE_BYTES
from shared.settings import Settings
from shared.storage.opening import open_storage
from tests.deploy.serving_process import HOST, serving_process
from tests.shared.http.raw import head

pytestmark = pytest.mark.long

MOST_MIB = 160
IDLE = 10_000
NAMES = [f"name-{number:04d}" for number in range(600)]
BIG, WHOLE = 30 << 20, 250 << 10


async def fill(storage_settings: Mapping[str, Any]) -> None:
    """Fill a store with more than a cache holds: index files of 64 KiB, small archives and big ones."""
    storage = await open_storage(Settings(**storage_settings))

    async def put(key: str, size_bytes: int) -> None:
        body = os.urandom(size_bytes)
        digest = sha256(body).hexdigest()
        await storage.put(key, body, content_type="application/octet-stream", digest=digest)

    indexes = [(f"index/{shard_path(parse_name(name))}", 64 << 10) for name in NAMES]
    wholes = [(f"dl/whole/0.1.{number}/download", WHOLE) for number in range(100)]
    bigs = [(f"dl/big/0.1.{number}/download", BIG) for number in range(2)]
    await together(*(put(*blob) for blob in [(CONFIG_KEY, 100), *indexes, *wholes, *bigs]))
    await storage.close()


async def test_a_read_process_stays_small_whatever_is_asked_of_it(storage_settings: dict[str, Any]) -> None:
    """Names and archives beyond its cache, slow readers, endless heads, bodies, 10,000 idle connections."""
    wholes = [f"/v1/packages/whole/0.1.{number}/download" for number in range(100)]
    bigs = [f"/v1/packages/big/0.1.{number}/download" for number in range(2)]
    figures = {}
    await fill(storage_settings)
    with serving_process("read", {**storage_settings, "read_cache_bytes": LEAST_CACHE_BYTES}) as server:
        figures["started"] = server.most_mib
        await server.get([f"/index/{shard_path(parse_name(name))}" for name in NAMES])
        figures["600 index files of 64 KiB"] = server.most_mib
        await server.get(wholes)
        await server.get(bigs * 8)
        figures["100 archives of 250 KiB, 30 MiB sixteen times"] = server.most_mib
        slow = []
        for target in [*wholes, *bigs * 50]:
            slow += await server.open(2, head(target.encode(), HOST), receive_bytes=4096)
        figures["400 readers of them who take nothing"] = server.most_mib
        half = await server.open(1000, b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 90)
        half += await server.open(500, b"GET / HTTP/1.1\r\nhost: a\r\na: " + b"b" * 30_000)
        figures["1,500 half-sent heads"] = server.most_mib
        bodies = await server.open(
            300, head(bigs[0].encode(), HOST, b"content-length: 1000000") + bytes(300_000)
        )
        figures["300 GET with a body"] = server.most_mib
        idle = await server.open(IDLE)
        last = await server.open(1, head(b"/index/config.json", HOST))
        assert (await last[0].read()).startswith(b"HTTP/1.1 200")
        figures[f"{IDLE:,} idle connections"] = server.most_mib
        del slow, half, bodies, idle, last
    for stage, mib in figures.items():
        print(f"{storage_settings['storage']}: {mib:6.1f} MiB after {stage}")
    assert max(figures.values()) < MOST_MIB, figures
