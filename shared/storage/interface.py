"""The interface of object storage. Back ends: filesystem.py and s3.py.

Keys are relative paths with `/` between segments (`index/he/ll/hello`). A key with an empty or `.`
segment, with `..`, a `\\`, a NUL or a lone surrogate in it, or below `tmp/`, raises StorageFailed.
A key of more than 1,024 bytes, or with a segment longer than the disk allows (mostly 255 bytes), reads
as absent and cannot be put. No key is a folder of another key.

Every method raises StorageUnavailable when a retry may work (timeouts, 5xx, no space, no route)
and StorageFailed when it will not.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True, slots=True)
class BlobInfo:
    """The metadata of a blob.

    size_bytes: of the body. digest: SHA-256 of the body, 64 lower-case hex digits: as stored with the
    blob, or computed once if other software put it; None in listings.
    identity_digest: for a compressed variant, the digest of the identity body it was made from; else
    None. revision: opaque validator of the back end; it changes when other bytes are put, and on a file
    system with every put. modified_at: UTC. generation: of the rows that the body was made
    from; 0 if unknown: for blobs of older releases, and in listings.
    """

    key: str
    size_bytes: int
    digest: str | None
    identity_digest: str | None
    revision: str
    modified_at: datetime
    generation: int = 0

    @property
    def is_removed(self) -> bool:
        """True for an empty blob: it marks that a file of the published tree was removed.

        A file that is only deleted could come back with a request that arrives late.
        """
        return self.size_bytes == 0


@dataclass(frozen=True, slots=True)
class Found:
    """A whole blob. Its digest is always known: read from storage, or computed once on load."""

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
    """The blob still has the revision that the caller named."""

    revision: str


@dataclass(frozen=True, slots=True)
class Missing:
    """No blob has this key. is_removed: one had it until it was removed, which BlobInfo.is_removed marks."""

    is_removed: bool = False


@dataclass(frozen=True, slots=True)
class Opened:
    """A blob opened for streaming. chunks: the bytes asked for, in pieces of at most 256 KiB."""

    info: BlobInfo
    chunks: AsyncIterator[bytes]


@dataclass(frozen=True, slots=True)
class NewFile:
    """A file to put, as Storage.put describes it."""

    key: str
    body: bytes
    content_type: str
    digest: str
    identity_digest: str | None = None
    generation: int = 0
    only_if_absent: bool = False
    if_revision: str | None = None


class Readable(Protocol):
    """The half of a store that reading uses; see Storage."""

    async def get(self, key: str, *, if_revision: str | None = None) -> Found | NotModified | Missing:
        """The whole blob; NotModified when its revision still equals if_revision."""

    async def head(self, key: str) -> BlobInfo | None:
        """The metadata of the blob, or None."""

    def open(
        self, key: str, *, start: int = 0, end: int | None = None
    ) -> AbstractAsyncContextManager[Opened | Missing]:
        """Stream bytes start to end."""


class Storage(Protocol):
    """An object store. All methods are safe to call at the same time from one event loop."""

    async def get(self, key: str, *, if_revision: str | None = None) -> Found | NotModified | Missing:
        """The whole blob; NotModified when its revision still equals if_revision."""

    async def head(self, key: str) -> BlobInfo | None:
        """The blob's info, or None."""

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
        generation: int = 0,
        only_if_absent: bool = False,
        if_revision: str | None = None,
    ) -> bool:
        """Write the blob, atomically and durably. False: a condition does not hold, nothing was changed.

        only_if_absent: no blob has the key. if_revision: the blob there still has this revision. At most one
        of the two. generation: stored with the blob; a directory also refuses the put while the present blob
        has a newer generation, which S3 cannot compare. Comparing and writing are one step, also among
        several processes. A retry after a lost response sees its own object and returns False.
        """

    async def put_file(
        self,
        key: str,
        path: Path,
        *,
        content_type: str,
        digest: str,
        identity_digest: str | None = None,
        generation: int = 0,
        only_if_absent: bool = False,
        if_revision: str | None = None,
    ) -> bool:
        """Like put(), from a local file, in constant memory.

        A directory may move the file instead of copying it.
        """

    async def put_in_order(
        self, copies: Sequence[tuple[str, str]], first: Sequence[NewFile], then: Sequence[NewFile]
    ) -> bool:
        """Copy sources to absent targets and put the first files durably; then put the others.

        False: the store cannot do this in one step, or a condition does not hold. Some may have been put.
        """

    async def copy(self, source: str, target: str, *, only_if_absent: bool = False) -> bool:
        """Copy a blob inside the store, with everything stored with it. False: nothing was changed.

        That is so if there is no source, or if only_if_absent is set and there is a target.
        """

    async def delete(self, key: str, *, if_revision: str | None = None) -> bool:
        """Remove the blob; a missing blob is no error.

        False: it has another revision; nothing was changed.
        """

    def list(self, prefix: str, *, after: str | None = None) -> AsyncIterator[BlobInfo]:
        """Blobs whose key starts with prefix and comes after `after`, in ascending byte order of keys.

        digest and identity_digest are None here: listings do not carry them.
        """

    def scan(self, prefix: str) -> AsyncIterator[BlobInfo]:
        """The same blobs in the order of the back end, in constant memory.

        A blob that is put or deleted meanwhile may be included or not.
        """

    async def now(self) -> datetime:
        """The time (UTC) by the clock that sets modified_at, which may differ from this machine's clock."""

    async def check(self) -> None:
        """Raise unless the store answers; a directory also if a blob could not get its name in it.

        write_check.py tries a write, too.
        """

    async def close(self) -> None:
        """Release connections and threads."""
