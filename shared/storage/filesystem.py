"""Object storage in a directory: runs the work of directory.py in threads, for the event loop.

Changes that are asked for at the same time share a thread and the flushes of their folders.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from functools import partial
from io import FileIO
from itertools import islice
from pathlib import Path
from typing import Any, Final, TypeVar, TypeVarTuple

from shared.batching import Batcher
from shared.errors import RegistryError, StorageUnavailable
from shared.storage.attributes import Attributes
from shared.storage.directory import BlobChange, Directory
from shared.storage.durable import CHUNK_BYTES, opened
from shared.storage.interface import BlobInfo, Found, Missing, NewFile, NotModified, Opened
from shared.storage.keys import require_key, require_new_key
from shared.storage.new_blob import Condition, NewBlob
from shared.storage.os_errors import mapped_os_errors

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

THREADS: Final = 16
# Changes have threads of their own, so that reads always find a free one.
CHANGES_TOGETHER: Final = 64
CHANGERS: Final = 4
LOOKS_TOGETHER: Final = 64
LOOKERS: Final = 8
BIG_BYTES: Final = 1 << 20
PAGE_BLOBS: Final = 500


class FileSystemStorage:
    """A directory as an object store. Each operation takes one hop to a thread."""

    def __init__(self, root: Path) -> None:
        """root: created by the first write."""
        self._directory = Directory(root)
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="storage")
        self._looks: Batcher[str, BlobInfo | None] = Batcher(
            self._look, largest=LOOKS_TOGETHER, at_once=LOOKERS
        )
        self._changes: Batcher[BlobChange, Any] = Batcher(
            self._change, largest=CHANGES_TOGETHER, at_once=CHANGERS
        )

    async def get(self, key: str, *, if_revision: str | None = None) -> Found | NotModified | Missing:
        """The whole blob; NotModified when its revision still equals if_revision."""
        return await self._run(self._directory.get, require_key(key), if_revision)

    async def head(self, key: str) -> BlobInfo | None:
        """The blob's info with its digest, or None."""
        return await self._looks.submit(require_key(key))

    @asynccontextmanager
    async def open(
        self, key: str, *, start: int = 0, end: int | None = None
    ) -> AsyncIterator[Opened | Missing]:
        """Stream bytes start (inclusive) to end (exclusive; None: to the end)."""
        blob = await self._open_at(require_key(key), start)
        if blob is None:
            yield Missing()
            return
        info, file = blob
        last = info.size_bytes if end is None else min(end, info.size_bytes)
        try:
            yield Opened(info, self._chunks(file, last - start))
        finally:
            # Waits for a read that the caller no longer wants, and is not cut off by a second cancellation.
            await asyncio.shield(self._run(file.close))

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
        """Write the blob, atomically and durably. False: a condition does not hold."""
        attributes = Attributes(digest, identity_digest, generation)
        condition = Condition(only_if_absent, if_revision, generation or None)
        change = partial(self._directory.put, require_new_key(key), body, attributes, condition)
        return bool(await self._changes.submit(change))

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
        """Write the blob from a local file, which is moved if it is on the same file system."""
        if _is_big(path):  # a batch would wait for it
            await self._run(_flush, path)
        attributes = Attributes(digest, identity_digest, generation)
        condition = Condition(only_if_absent, if_revision, generation or None)
        change = partial(self._directory.put_file, require_new_key(key), path, attributes, condition)
        return bool(await self._changes.submit(change))

    async def put_in_order(
        self, copies: Sequence[tuple[str, str]], first: Sequence[NewFile], then: Sequence[NewFile]
    ) -> bool:
        """Link and put files in one hop to a thread. False: no links, or a condition does not hold."""
        links = [(require_key(source), require_new_key(target)) for source, target in copies]
        change = partial(
            self._directory.put_in_order, links, list(map(_new_blob, first)), list(map(_new_blob, then))
        )
        return bool(await self._changes.submit(change))

    async def copy(self, source: str, target: str, *, only_if_absent: bool = False) -> bool:
        """Make target the same blob as source, digest included. False: no source, or there is a target."""
        condition = Condition(only_if_absent)
        change = partial(self._directory.copy, require_key(source), require_new_key(target), condition)
        return bool(await self._changes.submit(change))

    async def delete(self, key: str, *, if_revision: str | None = None) -> bool:
        """Remove the blob; absence is not an error. False: it has not this revision."""
        change = partial(self._directory.delete, require_key(key), Condition(if_revision=if_revision))
        return bool(await self._changes.submit(change))

    async def list(self, prefix: str, *, after: str | None = None) -> AsyncIterator[BlobInfo]:
        """Blobs in byte order of keys. Each folder is read when the listing reaches it."""
        async for info in self._paged(self._directory.list(prefix, after or "")):
            yield info

    async def scan(self, prefix: str) -> AsyncIterator[BlobInfo]:
        """The same blobs in the order of the folders, in constant memory."""
        async for info in self._paged(self._directory.scan(prefix)):
            yield info

    async def now(self) -> datetime:
        """The time by the file system's clock, which may be that of another machine."""
        return datetime.fromtimestamp(await self._run(self._directory.now), UTC)

    async def check(self) -> None:
        """Raise unless the directory can be read, and written to in one file system."""
        await self._run(self._directory.check)

    async def close(self) -> None:
        """Wait for running work and release the threads."""
        await self._looks.close()
        await self._changes.close()
        await asyncio.to_thread(self._threads.shutdown)

    async def create(self) -> None:
        """Create the directory if it is missing."""
        await self._run(self._directory.create)

    async def sweep_temporary(self, older_than_s: float) -> int:
        """Remove unfinished files that killed processes left behind. Returns how many there were.

        older_than_s: 0 or more; long enough that no process is still writing them.
        """
        return await self._run(self._directory.sweep_temporary, older_than_s)

    async def _look(self, keys: Sequence[str]) -> Sequence[BlobInfo | Exception | None]:
        return await self._run(lambda: [_outcome(self._directory.head, key) for key in keys])

    async def _change(self, changes: Sequence[BlobChange]) -> Sequence[Any]:
        return await self._run(self._directory.change, changes)

    async def _run(self, work: Callable[[*Ts], T], *args: *Ts) -> T:
        def mapped() -> T:
            with mapped_os_errors():
                return work(*args)

        return await asyncio.get_running_loop().run_in_executor(self._threads, mapped)

    async def _paged(self, blobs: Iterator[BlobInfo]) -> AsyncIterator[BlobInfo]:
        """A listing that fetches several blobs per hop to a thread."""
        while page := await self._run(_take, blobs, PAGE_BLOBS):
            for info in page:
                yield info

    async def _open_at(self, key: str, start: int) -> tuple[BlobInfo, FileIO] | None:
        """The blob's file at byte `start`. The file is closed if the caller is cancelled meanwhile."""
        opening = asyncio.ensure_future(self._run(self._directory.open_at, key, start))
        try:
            return await asyncio.shield(opening)
        except asyncio.CancelledError:
            opening.add_done_callback(_close_unused)
            raise

    async def _chunks(self, file: FileIO, size_bytes: int) -> AsyncIterator[bytes]:
        while size_bytes > 0:
            chunk = await self._run(file.read, min(CHUNK_BYTES, size_bytes))
            if not chunk:
                raise StorageUnavailable("blob ended early")
            yield chunk
            size_bytes -= len(chunk)


def _new_blob(file: NewFile) -> NewBlob:
    condition = Condition(file.only_if_absent, file.if_revision, file.generation or None)
    attributes = Attributes(file.digest, file.identity_digest, file.generation)
    return NewBlob(require_new_key(file.key), file.body, attributes, condition)


def _is_big(path: Path) -> bool:
    """True for a file that takes a while to reach the disk. Asking is fast: the file was just written."""
    try:
        return path.stat().st_size >= BIG_BYTES
    except OSError:
        return False  # opening it will raise the right error


def _flush(path: Path) -> None:
    with opened(path, os.O_RDONLY) as descriptor:
        os.fsync(descriptor)


def _outcome(look: Callable[[str], T], key: str) -> T | RegistryError:
    """The result, or the error that the look failed with."""
    try:
        with mapped_os_errors():
            return look(key)
    except RegistryError as error:
        return error


def _take(blobs: Iterator[BlobInfo], count: int) -> list[BlobInfo]:
    """The next blobs of a listing, up to count."""
    return list(islice(blobs, count))


def _close_unused(opening: asyncio.Future[tuple[BlobInfo, FileIO] | None]) -> None:
    """Close a file that was opened for a caller that has gone."""
    if opening.cancelled() or opening.exception() is not None:
        return
    if (blob := opening.result()) is not None:
        blob[1].close()
