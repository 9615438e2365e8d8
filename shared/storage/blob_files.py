"""Reads blobs from files below one root: the half of a directory that changes nothing. Raises OSError.

A blob's digest is an attribute of its file; it is computed once where an older release stored none.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from io import FileIO
from pathlib import Path
from typing import Final

from shared.errors import TornBlob
from shared.storage.attributes import NOTHING, Attributes, read_attributes
from shared.storage.digests import DigestMemo
from shared.storage.durable import read_all, sha256_of
from shared.storage.folders import Folders
from shared.storage.interface import BlobInfo, Found, Missing, NotModified
from shared.storage.os_errors import ABSENT
from shared.storage.tree import scan, walk

# O_NONBLOCK: opening a named pipe in the tree must not block a thread for ever.
READ_FLAGS: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class BlobFiles:
    """The blobs of a tree. Keys are checked by the caller; safe to use from several threads."""

    def __init__(self, root: Path) -> None:
        self._folders = Folders(root)
        self._digests = DigestMemo()

    def get(self, key: str, if_revision: str | None) -> Found | NotModified | Missing:
        """The whole blob; NotModified when its revision still equals if_revision."""
        with self._opened(key) as file:
            if file is None:
                return Missing()
            descriptor, state = file
            attributes = require_whole(key, descriptor, state)
            if if_revision is not None and if_revision == revision_of(state):
                return NotModified(if_revision)
            body = read_all(descriptor, state.st_size)
        digest = attributes.digest or hashlib.sha256(body).hexdigest()
        return Found(_blob_info(key, state, attributes, digest), body)

    def head(self, key: str) -> BlobInfo | None:
        """The blob's info with its digest, or None. For a torn blob, the info of what is left."""
        with self._opened(key) as file:
            return None if file is None else self._info(key, *file)

    def open_at(self, key: str, start: int) -> tuple[BlobInfo, FileIO] | None:
        """The blob's file at byte `start`, for the caller to close; None if there is no blob."""
        if (file := self._open(key)) is None:
            return None
        descriptor, state = file
        try:
            require_whole(key, descriptor, state)
            os.lseek(descriptor, start, os.SEEK_SET)
            return self._info(key, descriptor, state), FileIO(descriptor)
        except BaseException:
            os.close(descriptor)
            raise

    def list(self, prefix: str, after: str) -> Iterator[BlobInfo]:
        """Blobs whose key has the prefix and comes after `after`, in byte order, without digests."""
        for key, state in walk(Path(self._folders.root), prefix, after):
            yield _blob_info(key, state, NOTHING, None)

    def scan(self, prefix: str) -> Iterator[BlobInfo]:
        """The same blobs in the order of the folders, in constant memory."""
        for key, state in scan(Path(self._folders.root), prefix):
            yield _blob_info(key, state, NOTHING, None)

    @contextmanager
    def _opened(self, key: str) -> Iterator[tuple[int, os.stat_result] | None]:
        """As _open; the file is closed at the end."""
        file = self._open(key)
        try:
            yield file
        finally:
            if file is not None:
                os.close(file[0])

    def _open(self, key: str) -> tuple[int, os.stat_result] | None:
        """A descriptor of the blob's file, and its state; None if no regular file has this name.

        Whether the file lies below the root is asked of the open descriptor (through /proc): one system call
        instead of one per folder of the path.
        """
        try:
            descriptor = os.open(f"{self._folders.root}/{key}", READ_FLAGS)
        except OSError as error:
            if error.errno in ABSENT:
                return None
            raise
        try:
            self._folders.require_inside(key, os.readlink(f"/proc/self/fd/{descriptor}"))
            state = os.fstat(descriptor)
        except BaseException:
            os.close(descriptor)
            raise
        if not stat.S_ISREG(state.st_mode):
            os.close(descriptor)
            return None
        return descriptor, state

    def _info(self, key: str, descriptor: int, state: os.stat_result) -> BlobInfo:
        """The info of an open file. The digest is computed if it was not stored with the file."""
        sealed = read_attributes(descriptor)
        # A torn file's stored digest is that of the body it had.
        digest = sealed.attributes.digest if sealed.size_bytes in (None, state.st_size) else None
        digest = digest or self._digests.get(key, revision_of(state))
        if digest is None:
            digest = sha256_of(descriptor)
            self._digests.put(key, revision_of(state), digest)
        return _blob_info(key, state, sealed.attributes, digest)


def require_whole(key: str, descriptor: int, state: os.stat_result) -> Attributes:
    """The attributes of a file. Raises TornBlob for one that has lost bytes since it was put."""
    sealed = read_attributes(descriptor)
    if sealed.size_bytes not in (None, state.st_size):
        raise TornBlob(f"{key} is torn: {state.st_size} of {sealed.size_bytes} bytes are left")
    return sealed.attributes


def revision_of(state: os.stat_result) -> str:
    return f"{state.st_ino:x}-{state.st_mtime_ns:x}-{state.st_size:x}"


def _blob_info(key: str, state: os.stat_result, attributes: Attributes, digest: str | None) -> BlobInfo:
    return BlobInfo(
        key,
        state.st_size,
        digest,
        attributes.identity_digest,
        revision_of(state),
        datetime.fromtimestamp(state.st_mtime, UTC),
        attributes.generation,
    )
