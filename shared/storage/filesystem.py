"""Object storage in a directory, for the event loop: the work of directory.py, done in threads.

Changes that come at the same time share a thread and the flushes of their folders.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from functools import partial
from io import FileIO
from itertools import islice
from pathlib import Path
from typing import Any, Final, TypeVar, TypeVarTuple

from shared.batching import Batcher
from shared.errors import RegistryError, StorageUnavailable
from shared.storage.directory import Change, Condition, Directory
from shared.storage.durable import CHUNK_BYTES, Digests, opened
from shared.storage.interface import BlobInfo, Found, Missing, NotModified, Opened
from shared.storage.keys import require_key, require_new_key
from shared.storage.os_errors import mapped_os_errors

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

THREADS: Final = 16
# A change waits for the others of its batch; reads always find a thread.
CHANGES_TOGETHER: Final = 64
CHANGERS: Final = 4
LOOKS_TOGETHER: Final = 64
LOOKERS: Final = 8
BIG_BYTES: Final = 1 << 20
PAGE_BLOBS: Final = 500


class FileSystemStorage:
    """A directory as object store; one hop to a thread for each operation."""

    def __init__(self, root: Path) -> None:
        """root: made when first written to."""
        self._directory = Directory(root)
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="storage")
        self._looks: Batcher[str, BlobInfo | None] = Batcher(
            self._look, largest=LOOKS_TOGETHER, at_once=LOOKERS
        )
        self._changes: Batcher[Change, Any] = Batcher(
            self._change, largest=CHANGES_TOGETHER, at_once=CHANGERS
        )

    async def get(self, key: str, *, if_revision: str | None = None) -> Found | NotModified | Missing:
        """The whole blob; NotModified when its revision still equals if_revision."""
        return await self._run(self._directory.get, require_key(key), if_revision)

    async def head(self, key: str) -> BlobInfo | None:
        """What is known of the blob, its digest included, or None."""
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
            await self._run(file.close)  # waits for a read that its reader gave up

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
        """Write the blob, atomically and durably. False: a condition does not hold."""
        digests = Digests(digest, identity_digest)
        condition = Condition(only_if_absent, if_revision)
        change = partial(self._directory.put, require_new_key(key), body, digests, condition)
        return bool(await self._changes.submit(change))

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
        """Write the blob from a local file, which is moved away if it is on the same file system."""
        if _is_big(path):  # others would wait for it
            await self._run(_flush, path)
        condition = Condition(only_if_absent, if_revision)
        change = partial(self._directory.put_file, require_new_key(key), path, Digests(digest), condition)
        return bool(await self._changes.submit(change))

    async def copy(self, source: str, target: str) -> bool:
        """Make target the same blob as source, digest included. False: no source."""
        change = partial(self._directory.copy, require_key(source), require_new_key(target))
        return bool(await self._changes.submit(change))

    async def delete(self, key: str) -> None:
        """Remove the blob; absence is not an error."""
        await self._changes.submit(partial(self._directory.delete, require_key(key)))

    async def list(self, prefix: str, *, after: str | None = None) -> AsyncIterator[BlobInfo]:
        """Blobs in byte order of keys; a folder is read when the listing gets there."""
        async for info in self._paged(self._directory.list(prefix, after or "")):
            yield info

    async def scan(self, prefix: str) -> AsyncIterator[BlobInfo]:
        """The same blobs as the folders give them, in constant memory."""
        async for info in self._paged(self._directory.scan(prefix)):
            yield info

    async def check(self) -> None:
        """Raise unless the directory can be read; a tree that is only served may be mounted read-only."""
        await self._run(self._directory.check)

    async def close(self) -> None:
        """Wait for running work and release the threads."""
        await self._looks.close()
        await self._changes.close()
        await asyncio.to_thread(self._threads.shutdown)

    async def create(self) -> None:
        """Make the directory if it is not there."""
        await self._run(self._directory.create)

    async def sweep_temporary(self, older_than_s: float) -> int:
        """Remove unfinished files that a killed process left behind; how many there were.

        older_than_s: 0 or more, long enough that nobody is still at work on them.
        """
        return await self._run(self._directory.sweep_temporary, older_than_s)

    async def _look(self, keys: Sequence[str]) -> Sequence[BlobInfo | Exception | None]:
        return await self._run(lambda: [_outcome(self._directory.head, key) for key in keys])

    async def _change(self, changes: Sequence[Change]) -> Sequence[Any]:
        return await self._run(self._directory.change, changes)

    async def _run(self, work: Callable[[*Ts], T], *args: *Ts) -> T:
        def mapped() -> T:
            with mapped_os_errors():
                return work(*args)

        return await asyncio.get_running_loop().run_in_executor(self._threads, mapped)

    async def _paged(self, blobs: Iterator[BlobInfo]) -> AsyncIterator[BlobInfo]:
        """A listing, some blobs for each hop to a thread."""
        while page := await self._run(_take, blobs, PAGE_BLOBS):
            for info in page:
                yield info

    async def _open_at(self, key: str, start: int) -> tuple[BlobInfo, FileIO] | None:
        """The blob's file at byte `start`. It does not leak when the caller is cancelled meanwhile."""
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


def _is_big(path: Path) -> bool:
    """True for a file that takes a while to reach the disk; its inode is in memory, it was just written."""
    try:
        return path.stat().st_size >= BIG_BYTES
    except OSError:
        return False  # whoever opens it says what is wrong


def _flush(path: Path) -> None:
    with opened(path, os.O_RDONLY) as descriptor:
        os.fsync(descriptor)


def _outcome(look: Callable[[str], T], key: str) -> T | RegistryError:
    """What one of many looks gives, or the error that it fails with."""
    try:
        with mapped_os_errors():
            return look(key)
    except RegistryError as error:
        return error


def _take(blobs: Iterator[BlobInfo], count: int) -> list[BlobInfo]:
    """The next blobs of a listing, up to count."""
    return list(islice(blobs, count))


def _close_unused(opening: asyncio.Future[tuple[BlobInfo, FileIO] | None]) -> None:
    """Close a file that was opened for somebody who is gone."""
    if opening.cancelled() or opening.exception() is not None:
        return
    if (blob := opening.result()) is not None:
        blob[1].close()
