"""The store of the model's world, with exactly the guarantees of a directory and of S3.

S3 compares only an object's ETag, which depends on the body alone. A directory gives each put a revision of
its own, and compares generations too.
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Hashable
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from shared.errors import StorageUnavailable
from shared.storage.interface import BlobInfo, Found, Missing
from tests.model.world import Kind, World

BackEnd = Literal["fs", "s3"]
NEVER = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Blob:
    """One blob of the model."""

    info: BlobInfo
    body: bytes


class ModelStorage:
    """The half of Storage that publication uses. blobs: by key."""

    def __init__(self, world: World, back_end: BackEnd) -> None:
        self.world = world
        self._back_end = back_end
        self._puts = 0
        self.blobs: dict[str, Blob] = {}

    def state(self) -> Hashable:
        """The stored blobs."""
        return tuple(
            (key, blob.info.digest, blob.info.identity_digest, blob.info.generation)
            for key, blob in sorted(self.blobs.items())
        )

    async def head(self, key: str) -> BlobInfo | None:
        """The metadata of the blob, or None."""
        return await self._request(f"head {key}", lambda: self._info(key))

    async def get(self, key: str, *, if_revision: str | None = None) -> Found | Missing:
        """The whole blob."""
        return await self._request(f"get {key}", lambda: self._found(key))

    async def put(self, key: str, body: bytes, **described: Any) -> bool:
        """Write the blob if its conditions hold."""
        described.pop("content_type")
        return bool(await self._change(f"put {key}", lambda: self.write(key, body, **described)))

    async def put_in_order(self, *_: Any) -> bool:
        """Never, because the order of single changes is what the model is about."""
        return False

    async def copy(self, source: str, target: str, *, only_if_absent: bool) -> bool:
        """Copy a blob, unless the target exists."""
        return bool(
            await self._change(f"copy {target}", lambda: self._copied(source, target, only_if_absent))
        )

    async def delete(self, key: str, *, if_revision: str | None = None) -> bool:
        """Remove the blob."""
        return bool(await self._change(f"delete {key}", lambda: self._deleted(key)))

    async def scan(self, prefix: str) -> AsyncIterator[BlobInfo]:
        """Blobs whose key has the prefix."""
        for key in await self._request(f"scan {prefix}", lambda: [*filter(prefix.__eq__, self.blobs)]):
            yield self.blobs[key].info

    def write(
        self,
        key: str,
        body: bytes,
        *,
        digest: str,
        identity_digest: str | None = None,
        generation: int = 0,
        only_if_absent: bool = False,
        if_revision: str | None = None,
    ) -> bool:
        """Write the blob at once."""
        there = self.blobs.get(key)
        if there is None and if_revision is not None:
            return False
        if there is not None and (only_if_absent or if_revision not in (None, there.info.revision)):
            return False
        if self._back_end == "fs" and there is not None and there.info.generation > generation > 0:
            return False
        self._puts += 1
        revision = (
            hashlib.md5(body, usedforsecurity=False).hexdigest()
            if self._back_end == "s3"
            else str(self._puts)
        )
        self.blobs[key] = Blob(
            BlobInfo(key, len(body), digest, identity_digest, revision, NEVER, generation), body
        )
        return True

    async def _request(self, what: str, effect: Any) -> Any:
        with _as_of_storage():
            return await self.world.request(what, effect, Kind.READ)

    async def _change(self, what: str, effect: Any) -> Any:
        with _as_of_storage():
            return await self.world.request(what, effect, Kind.CHANGE)

    def _info(self, key: str) -> BlobInfo | None:
        return self.blobs[key].info if key in self.blobs else None

    def _found(self, key: str) -> Found | Missing:
        return Found(self.blobs[key].info, self.blobs[key].body) if key in self.blobs else Missing()

    def _copied(self, source: str, target: str, only_if_absent: bool) -> bool:
        if source not in self.blobs or (only_if_absent and target in self.blobs):
            return False
        blob = self.blobs[source]
        return self.write(target, blob.body, digest=str(blob.info.digest))

    def _deleted(self, key: str) -> bool:
        self.blobs.pop(key, None)
        return True


@contextmanager
def _as_of_storage() -> Any:
    try:
        yield
    except TimeoutError:
        raise StorageUnavailable from None
