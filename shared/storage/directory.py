"""Blobs as files below one root: the synchronous half of the file system store; raises OSError.

A blob is written to a temporary file on the same file system, with its digest as an extended
attribute, flushed to disk, and renamed into place; then the folder is flushed. Readers see the
old blob or the new one, and a digest always belongs to its body. Changes are generators
(flushing.py), so that many can wait for the disk together.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from io import FileIO
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

from shared.errors import TornBlob
from shared.storage.digests import DigestMemo
from shared.storage.durable import (
    Digests,
    attached_digests,
    opened,
    read_digests,
    seal,
    sha256_of,
    torn_from,
    write_all,
    write_from,
)
from shared.storage.flushing import FLUSHES_AT_ONCE, Unflushed, Writing, run_together
from shared.storage.folders import Folders
from shared.storage.interface import BlobInfo, Found, Missing, NotModified
from shared.storage.keys import TEMPORARY
from shared.storage.leftovers import remove_leftovers
from shared.storage.os_errors import ABSENT, mapped_os_errors
from shared.storage.tree import scan, walk

# O_NONBLOCK: a named pipe in a tree must not hold a thread for ever.
READ_FLAGS: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
CREATE_FLAGS: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL
Change = Callable[[Unflushed], Writing[Any]]
NO_HARD_LINKS: Final = frozenset({errno.EPERM, errno.ENOTSUP, errno.EMLINK, errno.EXDEV})


@dataclass(frozen=True, slots=True)
class Condition:
    """Of a put: no blob has the key, or the blob has this revision."""

    only_if_absent: bool = False
    if_revision: str | None = None


UNCONDITIONAL: Final = Condition()


class Directory:
    """A tree of blobs. Keys are checked by the caller; safe to use from several threads."""

    def __init__(self, root: Path) -> None:
        """root: made when first written to."""
        self._folders = Folders(root)
        self._digests = DigestMemo()
        self._flushers = ThreadPoolExecutor(FLUSHES_AT_ONCE, thread_name_prefix="flush")

    def get(self, key: str, if_revision: str | None) -> Found | NotModified | Missing:
        """The whole blob; NotModified when its revision still equals if_revision."""
        if (opened_file := self._open(key)) is None:
            return Missing()
        file, state = opened_file
        with file:
            _require_whole(key, file, state)
            if if_revision is not None and if_revision == _revision(state):
                return NotModified(if_revision)
            digests, body = attached_digests(file.fileno()), file.readall()
        digest = digests.digest or hashlib.sha256(body).hexdigest()
        return Found(_blob_info(key, state, replace(digests, digest=digest)), body)

    def head(self, key: str) -> BlobInfo | None:
        """What is known of the blob, its digest included, or None; of a torn one, what is left."""
        if (opened_file := self._open(key)) is None:
            return None
        file, state = opened_file
        with file:
            return self._info(key, file, state)

    def open_at(self, key: str, start: int) -> tuple[BlobInfo, FileIO] | None:
        """The blob's file at byte `start`, for the caller to close; None if there is no blob."""
        if (opened_file := self._open(key)) is None:
            return None
        file, state = opened_file
        try:
            _require_whole(key, file, state)
            file.seek(start)
            return self._info(key, file, state), file
        except BaseException:
            file.close()
            raise

    def change(self, changes: Sequence[Change]) -> list[Any]:
        """Make changes, durably; of each what it returns, or the RegistryError that it failed with.

        All are written before one is waited for, and each folder is flushed once.
        """
        unflushed = Unflushed()
        outcomes = run_together(self._flushers, [change(unflushed) for change in changes])
        with mapped_os_errors():
            unflushed.flush(self._flushers)
        self._folders.settle(unflushed.made)
        return outcomes

    def put(
        self, key: str, body: bytes, digests: Digests, condition: Condition, unflushed: Unflushed
    ) -> Writing[bool]:
        """A change: write the blob. False: the condition does not hold."""
        with self._temporary(unflushed) as temporary:
            with opened(temporary, CREATE_FLAGS) as descriptor:
                write_all(descriptor, body)
                seal(descriptor, digests)
                yield descriptor
            return self._place(temporary, key, unflushed, condition)

    def put_file(
        self, key: str, path: Path, digests: Digests, condition: Condition, unflushed: Unflushed
    ) -> Writing[bool]:
        """A change: make the file the blob, by its name on the same file system, else by its bytes.

        False: the condition does not hold.
        """
        with opened(path, os.O_RDONLY) as source:
            seal(source, digests)
            yield source
            try:
                return self._place(path, key, unflushed, condition)
            except OSError as error:
                if error.errno != errno.EXDEV:
                    raise
                return (yield from self._put_bytes_of(source, key, digests, unflushed, condition))

    def copy(self, source: str, target: str, unflushed: Unflushed) -> Writing[bool]:
        """A change: make target the same file as source, or one of the same bytes. False: no source."""
        if (opened_file := self._open(source)) is None:
            return False
        file, state = opened_file
        with file:
            _require_whole(source, file, state)
            try:
                path, name = self._folders.path(source), self._name(target, unflushed)
                if _is_linked(path, name):
                    return True
                with self._temporary(unflushed) as temporary:
                    os.link(path, temporary, follow_symlinks=False)
                    os.rename(temporary, name)
                return True
            except FileNotFoundError:
                return False
            except OSError as error:
                if error.errno not in NO_HARD_LINKS:
                    raise
            info = self._info(source, file, state)
            digests = Digests(info.digest, info.identity_digest)
            return (yield from self._put_bytes_of(file.fileno(), target, digests, unflushed))

    def delete(self, key: str, unflushed: Unflushed) -> Writing[None]:
        """A change: remove the blob; absence is not an error."""
        path = self._folders.path(key)
        yield from ()
        try:
            os.unlink(path)
        except OSError as error:
            if error.errno in ABSENT:
                return
            raise
        unflushed.folders.add(os.path.dirname(path))

    def list(self, prefix: str, after: str) -> Iterator[BlobInfo]:
        """Blobs whose key has the prefix and lies behind `after`, in byte order; without digests."""
        for key, state in walk(Path(self._folders.root), prefix, after):
            yield _blob_info(key, state, Digests(None))

    def scan(self, prefix: str) -> Iterator[BlobInfo]:
        """The same blobs as list() has, as the folders give them, in constant memory."""
        for key, state in scan(Path(self._folders.root), prefix):
            yield _blob_info(key, state, Digests(None))

    def check(self) -> None:
        """Raise unless the root can be read."""
        with os.scandir(self._folders.root) as entries:
            next(entries, None)

    def create(self) -> None:
        """Make the root, durably."""
        unflushed = Unflushed()
        self._folders.make(self._folders.root, unflushed)
        unflushed.flush(self._flushers)

    def sweep_temporary(self, older_than_s: float) -> int:
        """Remove unfinished files that nobody touched for so long; how many there were."""
        return remove_leftovers(Path(self._folders.root, TEMPORARY), older_than_s)

    def _open(self, key: str) -> tuple[FileIO, os.stat_result] | None:
        """The blob's file, unbuffered, and its state; None when no regular file has this name.

        Where it lies is asked of the open file (which needs /proc): one system call, where a path takes one
        for each folder.
        """
        try:
            file = FileIO(f"{self._folders.root}/{key}", opener=_for_reading)
        except OSError as error:
            if error.errno in ABSENT:
                return None
            raise
        try:
            self._folders.require_inside(key, os.readlink(f"/proc/self/fd/{file.fileno()}"))
            state = os.fstat(file.fileno())
        except BaseException:
            file.close()
            raise
        if not stat.S_ISREG(state.st_mode):
            file.close()
            return None
        return file, state

    def _revision_of(self, key: str) -> str | None:
        """The revision that a blob has now, or None."""
        if (opened_file := self._open(key)) is None:
            return None
        file, state = opened_file
        file.close()
        return _revision(state)

    def _info(self, key: str, file: FileIO, state: os.stat_result) -> BlobInfo:
        """What is known of an open file; its digest is computed if nobody stored it with the file."""
        digests = read_digests(file.fileno(), state.st_size)
        digest = digests.digest or self._digests.get(key, _revision(state))
        if digest is None:
            digest = sha256_of(file.fileno())
            self._digests.put(key, _revision(state), digest)
        return _blob_info(key, state, replace(digests, digest=digest))

    def _put_bytes_of(
        self,
        source: int,
        key: str,
        digests: Digests,
        unflushed: Unflushed,
        condition: Condition = UNCONDITIONAL,
    ) -> Writing[bool]:
        """Write a blob from an open file, read from its start. False: the condition does not hold."""
        with self._temporary(unflushed) as temporary:
            with opened(temporary, CREATE_FLAGS) as descriptor:
                write_from(descriptor, source)
                seal(descriptor, digests)
                yield descriptor
            return self._place(temporary, key, unflushed, condition)

    @contextmanager
    def _temporary(self, unflushed: Unflushed) -> Iterator[str]:
        """A free name on the root's file system; whatever still has it at the end is removed."""
        folder = os.path.join(self._folders.root, TEMPORARY)
        self._folders.make(folder, unflushed)
        path = os.path.join(folder, f"put-{uuid4().hex}")
        try:
            yield path
        finally:
            with suppress(FileNotFoundError):
                os.unlink(path)

    def _place(
        self, temporary: str | Path, key: str, unflushed: Unflushed, condition: Condition = UNCONDITIONAL
    ) -> bool:
        """Give a finished file its name. False: the condition does not hold."""
        name = self._name(key, unflushed)
        if condition.only_if_absent and _is_linked(temporary, name):
            return True
        if condition != UNCONDITIONAL and condition.if_revision != self._revision_of(key):
            return False
        os.rename(temporary, name)
        return True

    def _name(self, key: str, unflushed: Unflushed) -> str:
        """The path of a key that is about to be put, in a folder that is there."""
        path = self._folders.path(key)
        folder = os.path.dirname(path)
        self._folders.make(folder, unflushed)
        # A rival's name too: who is told that it exists relies on it.
        unflushed.folders.add(folder)
        return path


def _for_reading(path: str, flags: int) -> int:
    return os.open(path, READ_FLAGS)


def _require_whole(key: str, file: FileIO, state: os.stat_result) -> None:
    """Raise TornBlob for a file that lost bytes: it must not be taken for the blob that was put."""
    if (sealed := torn_from(file.fileno(), state.st_size)) is not None:
        raise TornBlob(f"{key} is torn: {state.st_size} of {sealed} bytes are left")


def _is_linked(file: str | Path, target: str) -> bool:
    """True if the name was free and is the file's now, in one step.

    False where there are no hard links, and where something has the name, be it no blob.
    """
    try:
        os.link(file, target, follow_symlinks=False)
    except OSError as error:
        if error.errno == errno.EEXIST or error.errno in NO_HARD_LINKS:
            return False
        raise
    return True


def _revision(state: os.stat_result) -> str:
    return f"{state.st_ino:x}-{state.st_mtime_ns:x}-{state.st_size:x}"


def _blob_info(key: str, state: os.stat_result, digests: Digests) -> BlobInfo:
    modified_at = datetime.fromtimestamp(state.st_mtime, UTC)
    return BlobInfo(
        key, state.st_size, digests.digest, digests.identity_digest, _revision(state), modified_at
    )
