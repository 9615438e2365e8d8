"""A fresh store for each test, on both back ends or on one of them."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from shared.settings import Settings
from shared.storage.filesystem import FileSystemStorage
from shared.storage.interface import Storage
from shared.storage.opening import open_storage
from shared.storage.s3 import S3Storage
from shared.storage.s3_client import Patience
from tests.fault_proxy import FaultProxy
from tests.seaweedfs import SeaweedFs

IMPATIENT = Patience(connect_s=1.0, read_s=0.3, attempts=2, total_s=10.0)

_numbers = itertools.count(1)


def sha256(body: bytes) -> str:
    """The digest of a body in the form that stores keep."""
    return hashlib.sha256(body).hexdigest()


async def put(storage: Storage, key: str, body: bytes = b"body", **more: Any) -> bool:
    """Put a body with its true digest."""
    return await storage.put(key, body, content_type="text/plain", digest=sha256(body), **more)


async def read(storage: Storage, key: str, start: int = 0, end: int | None = None) -> bytes:
    """The bytes of a blob, streamed by open()."""
    async with storage.open(key, start=start, end=end) as opened:
        return b"".join([chunk async for chunk in opened.chunks])


async def keys(storage: Storage, prefix: str = "", after: str | None = None) -> list[str]:
    """The keys of a listing, in its order."""
    return [info.key async for info in storage.list(prefix, after=after)]


@pytest_asyncio.fixture
async def storage(storage_settings: dict[str, Any]) -> AsyncIterator[Storage]:
    """An empty store; a test that uses it runs on both back ends."""
    opened = await open_storage(Settings(**storage_settings))
    yield opened
    await opened.close()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The folder of a test's file system store."""
    return tmp_path / "tree"


@pytest_asyncio.fixture
async def directory_storage(root: Path) -> AsyncIterator[FileSystemStorage]:
    """An empty store in a directory."""
    storage = FileSystemStorage(root)
    yield storage
    await storage.close()


@pytest.fixture
def bucket_settings(seaweedfs: SeaweedFs) -> Settings:
    """Settings of an empty prefix of the bucket."""
    return Settings(storage="s3", s3_prefix=f"storage-{next(_numbers)}", **seaweedfs.settings)


@pytest_asyncio.fixture
async def bucket_storage(bucket_settings: Settings) -> AsyncIterator[S3Storage]:
    """An empty store in a bucket."""
    storage = await S3Storage.connect(bucket_settings)
    yield storage
    await storage.close()


@pytest_asyncio.fixture
async def proxy(seaweedfs: SeaweedFs) -> AsyncIterator[FaultProxy]:
    """A proxy in front of the S3 server, for faults."""
    async with FaultProxy.before(seaweedfs.endpoint).running() as running:
        yield running


@pytest_asyncio.fixture
async def proxied_storage(bucket_settings: Settings, proxy: FaultProxy) -> AsyncIterator[S3Storage]:
    """The store of bucket_storage through the proxy, with short timeouts."""
    endpoint = f"http://127.0.0.1:{proxy.port}"
    settings = bucket_settings.model_copy(update={"s3_endpoint": endpoint})
    storage = await S3Storage.connect(settings, IMPATIENT)
    yield storage
    await storage.close()
