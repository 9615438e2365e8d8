"""A read service over a small published tree, for one test: real storage, a real server."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, cast

import httpx

from api.read.app import ReadService
from api.read.fast_path import FastProtocol
from api.read.fast_server import READ_SERVICE
from deploy.asgi import Application, State
from shared.blobs import CATALOG_KEY, CONFIG_KEY, archive_key, content_type_of, index_key, metadata_key
from shared.http.authorities import trusted_authorities
from shared.http.request_id import RequestIdMiddleware
from shared.names import PackageName
from shared.setting_groups.reading import LEAST_CACHE_BYTES
from shared.settings import Settings
from shared.storage.interface import BlobInfo, Found, Missing, NotModified, Opened, Storage
from shared.storage.opening import open_storage
from shared.versions import VersionText
from tests.stack import serving

HELLO, VERSION = PackageName("hello"), VersionText("0.1.0")
INDEX_KEY = index_key(HELLO)
ARCHIVE_KEY = archive_key(HELLO, VERSION)
METADATA_KEY = metadata_key(HELLO, VERSION)
INDEX_PATH = f"/{INDEX_KEY}"
ARCHIVE_PATH = "/v1/packages/hello/0.1.0/download"
METADATA_PATH = "/v1/packages/hello/0.1.0/metadata"
# Bigger than the bodies that a read service keeps in memory, and than the buffers of the sockets.
LARGE_VERSION = VersionText("0.2.0")
LARGE_KEY = archive_key(HELLO, LARGE_VERSION)
LARGE_PATH = "/v1/packages/hello/0.2.0/download"
LARGE_BODY = b"".join(index.to_bytes(4, "big") for index in range(8 << 18))

BODIES = {
    CONFIG_KEY: b'{"dl":"http://registry.example/v1/packages/"}',
    CATALOG_KEY: b'{"schema_version":"x07.index-catalog@0.1.0","packages":[{"name":"hello"}]}\n',
    INDEX_KEY: b'{"schema_version":"x07.index-entry@0.1.0","name":"hello","version":"0.1.0"}\n',
    METADATA_KEY: '{"ok":true,"package":{"description":"grüezi"}}'.encode(),
    ARCHIVE_KEY: bytes(range(256)) * 40,
}


class WatchedStorage:
    """Real storage that counts its reads and can hold their results back."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._let_go = asyncio.Event()
        self._let_go.set()
        self.reads: list[str] = []
        self.streamed_bytes = 0
        self.open_streams = 0

    def hold(self) -> None:
        """Hold back the result of every read from now on."""
        self._let_go = asyncio.Event()

    def let_go(self) -> None:
        """Deliver the results that were held back."""
        self._let_go.set()

    async def get(self, key: str, *, if_revision: str | None = None) -> Found | NotModified | Missing:
        """Counted, and held back if asked."""
        self.reads.append(key)
        let_go, outcome = self._let_go, await self._storage.get(key, if_revision=if_revision)
        await let_go.wait()
        return outcome

    async def head(self, key: str) -> BlobInfo | None:
        """Counted, and held back if asked."""
        self.reads.append(key)
        let_go, info = self._let_go, await self._storage.head(key)
        await let_go.wait()
        return info

    @asynccontextmanager
    async def open(
        self, key: str, *, start: int = 0, end: int | None = None
    ) -> AsyncIterator[Opened | Missing]:
        """Counted, and held back if asked."""
        self.reads.append(key)
        let_go = self._let_go
        self.open_streams += 1
        try:
            async with self._storage.open(key, start=start, end=end) as opened:
                await let_go.wait()
                yield opened if isinstance(opened, Missing) else Opened(opened.info, self._counted(opened))
        finally:
            self.open_streams -= 1

    async def _counted(self, opened: Opened) -> AsyncIterator[bytes]:
        async for chunk in opened.chunks:
            self.streamed_bytes += len(chunk)
            yield chunk


@dataclass
class Reading:
    """A running read service, and the tests' access to its storage."""

    service: ReadService
    storage: Storage
    watched: WatchedStorage
    http: httpx.AsyncClient

    async def put(self, key: str, body: bytes) -> str:
        """Publish a blob as the worker does, without a change message. Returns its ETag."""
        digest = hashlib.sha256(body).hexdigest()
        await self.storage.put(key, body, content_type=content_type_of(key), digest=digest)
        return f'"{digest}"'


@asynccontextmanager
async def reading(settings: Settings, bodies: dict[str, bytes] = BODIES) -> AsyncIterator[Reading]:
    """Serve these bodies from the storage of the settings, which is still empty.

    The cache is that of a small machine, so that large bodies are streamed on every machine.
    """
    settings = settings.model_copy(update={"read_cache_bytes": LEAST_CACHE_BYTES})
    storage = await open_storage(settings)
    watched = WatchedStorage(storage)
    service = ReadService(cast("Any", watched), settings)

    @asynccontextmanager
    async def opener(state: State) -> AsyncIterator[Any]:
        state[READ_SERVICE] = service
        yield RequestIdMiddleware(service)

    try:
        async with (
            serving(Application(opener), FastProtocol) as url,
            httpx.AsyncClient(
                base_url=url,
                headers={"accept-encoding": "identity"},
                timeout=60,
                verify=trusted_authorities(),
            ) as http,
        ):
            running = Reading(service, storage, watched, http)
            for key, body in bodies.items():
                await running.put(key, body)
            yield running
    finally:
        await storage.close()


def etag_of(body: bytes) -> str:
    """The ETag of an identity body: its quoted SHA-256."""
    return f'"{hashlib.sha256(body).hexdigest()}"'


def sent_as(raw: str) -> dict[str, Any]:
    """Arguments of an httpx request whose target is sent byte for byte, dot segments included."""
    return {"url": "/", "extensions": {"target": raw.encode()}}
