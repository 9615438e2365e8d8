"""The same read service behind the fast path and behind the ordinary path, over a small published tree."""

from __future__ import annotations

import asyncio
import hashlib
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from api.read.app import ReadService
from api.read.fast_path import FastProtocol
from api.read.fast_server import READ_SERVICE
from api.read.metrics import FAST_NOT_MODIFIED, FAST_OK
from deploy.asgi import at_the_edge
from shared.blobs import CATALOG_KEY, CHECKPOINT_KEY, CONFIG_KEY
from shared.http.guarded_protocol import GuardedProtocol
from shared.settings import Settings
from shared.storage.filesystem import FileSystemStorage
from tests.api.read.faulty_storage import put
from tests.api.read.wire import Endpoint, Heard

KEY, OTHER_KEY = "index/he/ll/hello", "index/wo/rl/world"
TILE_KEY = "log/tile/0/x001/000.p/7"
ARCHIVE_KEY, METADATA_KEY = "dl/hello/0.1.0/download", "dl/hello/0.1.0/metadata"
LINES = b'{"schema_version":"x07.index-entry@0.1.0","name":"hello","version":"0.1.0"}\n' * 60
PATHS = {
    KEY: b"/index/he/ll/hello",
    OTHER_KEY: b"/index/wo/rl/world",
    ARCHIVE_KEY: b"/v1/packages/hello/0.1.0/download",
    METADATA_KEY: b"/v1/packages/hello/0.1.0/metadata",
    CATALOG_KEY: b"/index/catalog.json",
    CONFIG_KEY: b"/index/config.json",
    CHECKPOINT_KEY: b"/log/checkpoint",
    TILE_KEY: b"/log/tile/0/x001/000.p/7",
}
HOST = b"Host: registry.example"


class Ways:
    """One read service behind two protocols: with the fast path and without."""

    def __init__(self, service: ReadService, settings: Settings) -> None:
        app = at_the_edge(service, settings)
        self.service = service
        self.fast = Endpoint(FastProtocol, app, {READ_SERVICE: service})
        self.long = Endpoint(GuardedProtocol, app)
        self.plain = Endpoint(HttpToolsProtocol, app)

    @property
    def fast_answers(self) -> int:
        """The number of fast answers, whether the metrics have them already or not."""
        counted = FAST_OK._value.get() + FAST_NOT_MODIFIED._value.get()
        waiting = sum(tally.ok + tally.not_modified for tally in self.service.fast.tallies.values())
        return int(counted) + waiting

    async def warm(self) -> None:
        """Load every blob into the cache and let the fast path learn it in every coding."""
        for path in PATHS.values():
            for accepted in (b"", b"gzip", b"zstd", b"gzip, zstd", b"zstd;q=0.5, gzip"):
                await self.fast.hear([request(path, HOST, b"Accept-Encoding: " + accepted)])

    async def heard(self, *pieces: bytes) -> Heard:
        """The answers of both protocols; fails if they differ, or if either fails."""
        fast, long = await self.fast.hear(pieces), await self.long.hear(pieces)
        assert fast == long
        assert b"HTTP/1.1 500" not in fast.data
        return fast


def request(path: bytes, *lines: bytes, method: bytes = b"GET", version: bytes = b"HTTP/1.1") -> bytes:
    """A request head."""
    return b"\r\n".join([b" ".join([method, path, version]), *lines, b"", b""])


def etag(body: bytes) -> bytes:
    """The ETag of a body."""
    return b'"' + hashlib.sha256(body).hexdigest().encode() + b'"'


def variant(body: bytes) -> bytes:
    """A stand-in for a compressed body."""
    return zlib.compress(body)


@asynccontextmanager
async def both_ways(
    root: Path, origins: tuple[str, ...] = (), ttl_s: float = 3600, *, access_log: bool = False
) -> AsyncIterator[Ways]:
    """Both protocols over a small published tree, with a warm cache."""
    storage = FileSystemStorage(root)
    for key in PATHS:
        await put(storage, key, key.encode() + LINES)
    for suffix in (".gz", ".zst"):
        await put(storage, KEY + suffix, suffix.encode() + variant(LINES), identity=KEY.encode() + LINES)
    settings = Settings(data_dir=root, read_ttl_seconds=ttl_s, cors_origins=origins, access_log=access_log)
    ways = Ways(ReadService(storage, settings), settings)
    await ways.warm()
    yield ways
    await storage.close()


Scenario = Callable[[Ways], Awaitable[None]]


def run(root: Path, scenario: Scenario, origins: tuple[str, ...] = ()) -> None:
    """Run one scenario in an event loop of its own."""

    async def running() -> None:
        async with both_ways(root, origins) as ways:
            await scenario(ways)

    asyncio.run(running())


IDENTITY_ETAG, GZIP_ETAG = etag(KEY.encode() + LINES), etag(b".gz" + variant(LINES))
