"""What every object storage can do. Back ends: filesystem.py, s3.py; values: Blob, BlobInfo, Found.

Keys are relative paths with `/` between segments (`index/he/ll/hello`). A key with an empty or `.`
segment, with `..`, a `\\`, a NUL or a lone surrogate in it, or below `tmp/`, raises StorageFailed.
A key of more than 1,024 bytes, or with a segment that the disk does not take (mostly 255 bytes), reads
as absent and cannot be put. No key is a folder of another.

Every method raises StorageUnavailable when a retry may work (timeouts, 5xx, no space, no route)
and StorageFailed when it will not.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True, slots=True)
class BlobInfo:
    """What storage knows of a blob without its body.

    size_bytes: of the body. digest: SHA-256 of the body, 64 lower-case hex digits: as stored with the
    blob, or computed once if something else than this software put it; None in listings.
    identity_digest: for a compressed variant, the digest of the identity body it was made from; else
    None. revision: opaque validator of the back end, changes whenever the blob is put again.
    modified_at: UTC.
    """

    key: str
    size_bytes: int
    digest: str | None
    identity_digest: str | None
    revision: str
    modified_at: datetime


@dataclass(frozen=True, slots=True)
class Found:
    """A whole blob. digest is always known here: read from storage, or computed once on load."""

    info: BlobInfo
    body: bytes

    @property
    def digest(self) -> str:
        """SHA-256 of the body, 64 lower-case hex digits."""
        if self.info.digest is None:
            raise ValueError(f"blob {self.info.key} was loaded without a digest")
        return self.info.digest


@dataclass(frozen=True, slots=True)
class NotModified:
    """The blob still has the revision that the caller holds."""

    revision: str


@dataclass(frozen=True, slots=True)
class Missing:
    """No blob has this key."""


@dataclass(frozen=True, slots=True)
class Opened:
    """A blob opened for streaming. chunks: the bytes asked for, in pieces of at most 256 KiB."""

    info: BlobInfo
    chunks: AsyncIterator[bytes]


class Storage(Protocol):
    """An object store. All methods are safe to call at the same time from one event loop."""

    async def get(self, key: str, *, if_revision: str | None = None) -> Found | NotModified | Missing:
        """The whole blob; NotModified when its revision still equals if_revision."""

    async def head(self, key: str) -> BlobInfo | None:
        """What is known of the blob, or None."""

    def open(
        self, key: str, *, start: int = 0, end: int | None = None
    ) -> AbstractAsyncContextManager[Opened | Missing]:
        """Stream bytes start (inclusive, 0 or more) to end (exclusive; None: to the end)."""

    async def put(
        self,
        key: str,
        body: bytes,
        *,
        content_type: str,
        digest: str,
        identity_digest: str | None = None,
        only_if_absent: bool = False,
        if_revision: str | None = None,
    ) -> bool:
        """Write the blob, atomically and durably. False: a condition does not hold, nothing was changed.

        only_if_absent: no blob has the key. if_revision: the blob there still has this revision. At most
        one of the two. S3 checks as it writes; a directory just before, so that another process's put
        may come between. Repeated after a lost answer, a write finds itself: False.
        """

    async def put_file(
        self,
        key: str,
        path: Path,
        *,
        content_type: str,
        digest: str,
        only_if_absent: bool = False,
        if_revision: str | None = None,
    ) -> bool:
        """As put(), from a local file, in constant memory; the file may be moved away (fs)."""

    async def copy(self, source: str, target: str) -> bool:
        """Copy a blob inside the store, replacing target, digest included. False: no source."""

    async def delete(self, key: str) -> None:
        """Remove the blob; absence is not an error."""

    def list(self, prefix: str, *, after: str | None = None) -> AsyncIterator[BlobInfo]:
        """Blobs whose key starts with prefix, in ascending byte order of keys, from the one behind `after`.

        digest and identity_digest are None here: listings do not carry them.
        """

    def scan(self, prefix: str) -> AsyncIterator[BlobInfo]:
        """The same blobs in whatever order the back end has them, in constant memory.

        A blob that is put or deleted meanwhile may be among them or not.
        """

    async def check(self) -> None:
        """Raise unless the store answers (for readiness)."""

    async def close(self) -> None:
        """Release connections and threads."""
