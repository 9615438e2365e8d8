"""Object storage in a directory: atomic and durable, and a working mirror when copied.

A blob is written to a temporary file on the same file system, with its digest as an extended
attribute, flushed to disk, and renamed into place; then the directory is flushed. Readers see the
old blob or the new one, and a digest always belongs to its body.
"""

from __future__ import annotations

import asyncio
import errno
import hashlib
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, ParamSpec, TypeVar

from shared.errors import StorageFailed, StorageUnavailable
from shared.storage.digests import DigestMemo
from shared.storage.interface import BlobInfo, Found, Missing, NotModified, Opened
from shared.storage.keys import require_key

P = ParamSpec("P")
T = TypeVar("T")

THREADS: Final = 16
CHUNK_BYTES: Final = 256 * 1024
DIGEST_ATTRIBUTE: Final = "user.x07.digest"
IDENTITY_ATTRIBUTE: Final = "user.x07.identity"
TEMPORARY: Final = "tmp"
ABSENT: Final = frozenset({errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG})
# Trouble that may pass: no space, read-only after an error, a disk or network file system that is away.
PASSING: Final = frozenset(
    {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.ESTALE, errno.EMFILE, errno.ENFILE}
)
NO_ATTRIBUTES: Final = frozenset({errno.ENOTSUP, errno.ENODATA, errno.ENOSPC, errno.EPERM})


class FileSystemStorage:
    """A directory as object store. Work is done in threads, one hop an operation."""

    def __init__(self, root: Path) -> None:
        self._root = root.absolute()
        self._real_root = Path(os.path.realpath(self._root))
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="storage")
        self._digests = DigestMemo()

    async def get(self, key: str, *, if_revision: str | None = None) -> Found | NotModified | Missing:
        """The whole blob; NotModified when its revision still equals if_revision."""
        return await self._run(self._get, require_key(key), if_revision)

    async def head(self, key: str) -> BlobInfo | None:
        """What is known of the blob, its digest included, or None."""
        return await self._run(self._head, require_key(key))

    @asynccontextmanager
    async def open(
        self, key: str, *, start: int = 0, end: int | None = None
    ) -> AsyncIterator[Opened | Missing]:
        """Stream bytes start (inclusive) to end (exclusive; None: to the end)."""
        descriptor = await self._run(self._open, require_key(key))
        if descriptor is None:
            yield Missing()
            return
        try:
            info = await self._run(self._info, key, descriptor)
            yield Opened(info, self._chunks(descriptor, start, info.size_bytes if end is None else end))
        finally:
            os.close(descriptor)

    async def put(
        self,
        key: str,
        body: bytes,
        *,
        content_type: str,
        digest: str,
        identity_digest: str | None = None,
        only_if_absent: bool = False,
    ) -> bool:
        """Write the blob, atomically and durably. False: only_if_absent was set and it exists."""
        return await self._run(self._put, require_key(key), body, digest, identity_digest, only_if_absent)

    async def put_file(self, key: str, path: Path, *, content_type: str, digest: str) -> None:
        """Write the blob from a local file, which is moved away if it is on the same file system."""
        await self._run(self._put_file, require_key(key), path, digest)

    async def copy(self, source: str, target: str) -> bool:
        """Make target the same blob as source, digest included. False: no source."""
        return await self._run(self._copy, require_key(source), require_key(target))

    async def delete(self, key: str) -> None:
        """Remove the blob; absence is not an error."""
        await self._run(self._delete, require_key(key))

    async def list(self, prefix: str, *, after: str | None = None) -> AsyncIterator[BlobInfo]:
        """Blobs in byte order of keys; a directory is read when the listing gets there."""
        walk = self._walk("", prefix)
        while True:
            page = await self._run(_take, walk, 500)
            for info in page:
                if after is None or info.key.encode() > after.encode():
                    yield info
            if len(page) < 500:
                return

    async def check(self) -> None:
        """Raise unless the directory can be written."""
        await self._run(self._check)

    async def close(self) -> None:
        """Wait for running work and release the threads."""
        self._threads.shutdown(wait=True)

    def sweep_temporary(self, older_than_s: float) -> int:
        """Remove temporary files that a killed process left behind; how many there were."""
        removed = 0
        with _mapped_errors(), suppress(FileNotFoundError):
            now = datetime.now(UTC).timestamp()
            for entry in os.scandir(self._root / TEMPORARY):
                if now - entry.stat().st_mtime > older_than_s:
                    os.unlink(entry.path)
                    removed += 1
        return removed

    async def _run(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        def mapped() -> T:
            with _mapped_errors():
                return work(*args, **kwargs)

        return await asyncio.get_running_loop().run_in_executor(self._threads, mapped)

    def _path(self, key: str) -> Path:
        """Where a key lies. Raises StorageFailed if a link on the way leads out of the root."""
        path = self._root / key
        parent = os.path.realpath(path.parent)
        if parent != str(self._real_root) and not parent.startswith(f"{self._real_root}{os.sep}"):
            raise StorageFailed(f"key leaves the storage root: {key!r}")
        return path

    def _open(self, key: str) -> int | None:
        try:
            return os.open(self._path(key), os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError as error:
            if error.errno in ABSENT:
                return None
            raise

    def _get(self, key: str, if_revision: str | None) -> Found | NotModified | Missing:
        descriptor = self._open(key)
        if descriptor is None:
            return Missing()
        with os.fdopen(descriptor, "rb", buffering=0) as file:
            state = os.fstat(descriptor)
            if not _is_file(state):
                return Missing()
            if if_revision is not None and if_revision == _revision(state):
                return NotModified(if_revision)
            body = file.readall()
            digest = _attribute(descriptor, DIGEST_ATTRIBUTE) or hashlib.sha256(body).hexdigest()
            return Found(_blob_info(key, state, digest, _attribute(descriptor, IDENTITY_ATTRIBUTE)), body)

    def _head(self, key: str) -> BlobInfo | None:
        descriptor = self._open(key)
        if descriptor is None:
            return None
        try:
            return self._info(key, descriptor) if _is_file(os.fstat(descriptor)) else None
        finally:
            os.close(descriptor)

    def _info(self, key: str, descriptor: int) -> BlobInfo:
        state = os.fstat(descriptor)
        digest = _attribute(descriptor, DIGEST_ATTRIBUTE) or self._digests.get(key, _revision(state))
        if digest is None:
            digest = _digest_of(descriptor)
            self._digests.put(key, _revision(state), digest)
        return _blob_info(key, state, digest, _attribute(descriptor, IDENTITY_ATTRIBUTE))

    async def _chunks(self, descriptor: int, start: int, end: int) -> AsyncIterator[bytes]:
        while start < end:
            chunk = await self._run(os.pread, descriptor, min(CHUNK_BYTES, end - start), start)
            if not chunk:
                raise StorageUnavailable("blob ended early")
            yield chunk
            start += len(chunk)

    def _put(
        self, key: str, body: bytes, digest: str, identity_digest: str | None, only_if_absent: bool
    ) -> bool:
        with self._temporary() as (descriptor, temporary):
            _write_all(descriptor, body)
            _seal(descriptor, digest, identity_digest)
            return self._place(temporary, key, only_if_absent=only_if_absent)

    def _put_file(self, key: str, source: Path, digest: str) -> None:
        try:
            descriptor = os.open(source, os.O_RDWR | os.O_CLOEXEC)
            try:
                _seal(descriptor, digest, None)
            finally:
                os.close(descriptor)
            self._place(str(source), key)
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
            self._put_copy(key, source, digest)

    def _put_copy(self, key: str, source: Path, digest: str) -> None:
        """Write a blob from a file of another file system."""
        with self._temporary() as (descriptor, temporary), source.open("rb") as file:
            with os.fdopen(os.dup(descriptor), "wb") as target:
                shutil.copyfileobj(file, target, CHUNK_BYTES)
            _seal(descriptor, digest, None)
            self._place(temporary, key)

    def _copy(self, source: str, target: str) -> bool:
        origin = self._path(source)
        with self._temporary() as (_, temporary):
            os.unlink(temporary)
            try:
                os.link(origin, temporary, follow_symlinks=False)
            except OSError as error:
                if error.errno in ABSENT:
                    return False
                if error.errno not in (errno.EPERM, errno.ENOTSUP, errno.EMLINK):
                    raise
                shutil.copyfile(origin, temporary)
                self._reseal(origin, temporary)
            return self._place(temporary, target)

    def _reseal(self, origin: Path, temporary: str) -> None:
        """Give a byte copy the digests of its origin, where the file system keeps them."""
        source, copy = os.open(origin, os.O_RDONLY), os.open(temporary, os.O_RDWR)
        try:
            digest = _attribute(source, DIGEST_ATTRIBUTE) or _digest_of(source)
            _seal(copy, digest, _attribute(source, IDENTITY_ATTRIBUTE))
        finally:
            os.close(source)
            os.close(copy)

    def _delete(self, key: str) -> None:
        path = self._path(key)
        try:
            os.unlink(path)
        except OSError as error:
            if error.errno in ABSENT:
                return
            raise
        _flush_directory(path.parent)

    def _walk(self, folder: str, prefix: str) -> Iterator[BlobInfo]:
        """Blobs below a folder, in byte order: a folder sorts as its name with a slash behind."""
        try:
            entries = sorted(
                os.scandir(self._root / folder),
                key=lambda entry: (
                    os.fsencode(entry.name) + (b"/" if entry.is_dir(follow_symlinks=False) else b"")
                ),
            )
        except FileNotFoundError:
            return
        for entry in entries:
            key = f"{folder}{entry.name}"
            if entry.is_dir(follow_symlinks=False):
                is_wanted = f"{key}/".startswith(prefix) or prefix.startswith(f"{key}/")
                if is_wanted and key != TEMPORARY:
                    yield from self._walk(f"{key}/", prefix)
            elif key.startswith(prefix) and entry.is_file(follow_symlinks=False):
                with suppress(FileNotFoundError):
                    yield _blob_info(key, entry.stat(follow_symlinks=False), None, None)

    def _check(self) -> None:
        with self._temporary() as (descriptor, _):
            _write_all(descriptor, b"x07")

    @contextmanager
    def _temporary(self) -> Iterator[tuple[int, str]]:
        """A new file on the root's file system, open for writing; gone afterwards unless it was placed."""
        folder = self._root / TEMPORARY
        try:
            descriptor, name = tempfile.mkstemp(prefix="put-", dir=folder)
        except FileNotFoundError:
            folder.mkdir(parents=True, exist_ok=True)
            descriptor, name = tempfile.mkstemp(prefix="put-", dir=folder)
        try:
            yield descriptor, name
        finally:
            os.close(descriptor)
            with suppress(FileNotFoundError):
                os.unlink(name)

    def _place(self, temporary: str, key: str, *, only_if_absent: bool = False) -> bool:
        """Give a finished file its name, durably. False: only_if_absent was set and it exists."""
        target = self._path(key)
        self._make_parents(target.parent)
        if only_if_absent:
            try:
                os.link(temporary, target)
            except FileExistsError:
                return False
        else:
            os.rename(temporary, target)
        _flush_directory(target.parent)
        return True

    def _make_parents(self, folder: Path) -> None:
        """Create missing folders, each made durable in its parent."""
        if folder.is_dir():
            return
        self._make_parents(folder.parent)
        with suppress(FileExistsError):
            folder.mkdir(mode=0o755)
        _flush_directory(folder.parent)


def _take(walk: Iterator[BlobInfo], count: int) -> list[BlobInfo]:
    """Up to count blobs of a listing."""
    return [info for _, info in zip(range(count), walk, strict=False)]


def _is_file(state: os.stat_result) -> bool:
    return (state.st_mode & 0o170000) == 0o100000


def _revision(state: os.stat_result) -> str:
    return f"{state.st_ino:x}-{state.st_mtime_ns:x}-{state.st_size:x}"


def _blob_info(key: str, state: os.stat_result, digest: str | None, identity_digest: str | None) -> BlobInfo:
    modified_at = datetime.fromtimestamp(state.st_mtime, UTC)
    return BlobInfo(key, state.st_size, digest, identity_digest, _revision(state), modified_at)


def _attribute(descriptor: int, name: str) -> str | None:
    try:
        return os.getxattr(descriptor, name).decode("ascii", "replace")
    except OSError as error:
        if error.errno in NO_ATTRIBUTES:
            return None
        raise


def _seal(descriptor: int, digest: str, identity_digest: str | None) -> None:
    """Attach digests, where the file system can keep them; then make body and digests durable."""
    try:
        os.setxattr(descriptor, DIGEST_ATTRIBUTE, digest.encode())
        if identity_digest is not None:
            os.setxattr(descriptor, IDENTITY_ATTRIBUTE, identity_digest.encode())
    except OSError as error:
        if error.errno not in NO_ATTRIBUTES:
            raise
    os.fchmod(descriptor, 0o644)
    os.fsync(descriptor)


def _digest_of(descriptor: int) -> str:
    digest, start = hashlib.sha256(), 0
    while chunk := os.pread(descriptor, CHUNK_BYTES, start):
        digest.update(chunk)
        start += len(chunk)
    return digest.hexdigest()


def _write_all(descriptor: int, body: bytes) -> None:
    view = memoryview(body)
    while view:
        view = view[os.write(descriptor, view) :]


def _flush_directory(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _mapped_errors() -> Iterator[None]:
    """The operating system's errors as ours; the path stays in the cause, for the log."""
    try:
        yield
    except OSError as error:
        if error.errno in PASSING:
            raise StorageUnavailable from error
        raise StorageFailed from error
