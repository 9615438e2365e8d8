"""File operations that outlast a power cut, and the digests that travel with a file."""

from __future__ import annotations

import errno
import hashlib
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from shared.storage.digests import parse_digest

CHUNK_BYTES: Final = 256 * 1024
DIGEST_ATTRIBUTE: Final = "user.x07.digest"
IDENTITY_ATTRIBUTE: Final = "user.x07.identity"
SIZE_ATTRIBUTE: Final = "user.x07.size"
FILE_MODE: Final = 0o644
"""Readers may run as another account than writers (nginx over the same tree)."""


@dataclass(frozen=True, slots=True)
class Digests:
    """What a file carries beside its body. None: not known, or not a compressed variant."""

    digest: str | None
    identity_digest: str | None = None


@contextmanager
def opened(path: str | Path, flags: int) -> Iterator[int]:
    """The descriptor of a file, closed at the end."""
    descriptor = os.open(path, flags | os.O_CLOEXEC, FILE_MODE)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def write_all(descriptor: int, body: bytes | bytearray) -> None:
    """Write every byte; os.write may take fewer."""
    view = memoryview(body)
    while view:
        view = view[os.write(descriptor, view) :]


def write_from(descriptor: int, source: int) -> None:
    """Write the rest of another file, in constant memory."""
    while chunk := os.read(source, CHUNK_BYTES):
        write_all(descriptor, chunk)


def seal(descriptor: int, digests: Digests) -> None:
    """Finish a file before it gets its name: digests, mode and time. It is on its way to disk then.

    The time is the clock's, in nanoseconds: the kernel's own stamps stand still for milliseconds,
    in which an inode number can come round again, and the two make up the revision.
    """
    write_digests(descriptor, digests)
    os.fchmod(descriptor, FILE_MODE)
    now_ns = time.time_ns()
    os.utime(descriptor, ns=(now_ns, now_ns))
    # Starts the writing without waiting for it, so that one commit of the journal serves every file
    # whose fsync comes after this.
    os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)


def write_digests(descriptor: int, digests: Digests) -> None:
    """Attach digests and size to a file; not at all where the file system has no extended attributes."""
    named = (
        (DIGEST_ATTRIBUTE, digests.digest),
        (IDENTITY_ATTRIBUTE, digests.identity_digest),
        (SIZE_ATTRIBUTE, str(os.fstat(descriptor).st_size)),
    )
    for name, value in named:
        if value is None:
            continue
        try:
            os.setxattr(descriptor, name, value.encode())
        except OSError as error:
            if error.errno == errno.ENOTSUP:
                return
            raise


def read_digests(descriptor: int, size_bytes: int) -> Digests:
    """The digests that a file of this size carries; those of a torn one are not its body's."""
    return Digests(None) if torn_from(descriptor, size_bytes) is not None else attached_digests(descriptor)


def attached_digests(descriptor: int) -> Digests:
    """The digests that a whole file carries."""
    digest, identity = _attribute(descriptor, DIGEST_ATTRIBUTE), _attribute(descriptor, IDENTITY_ATTRIBUTE)
    return Digests(parse_digest(digest), parse_digest(identity))


def torn_from(descriptor: int, size_bytes: int) -> str | None:
    """The bytes that a file had when it was sealed, if it has not so many any more: a disk lost some.

    size_bytes: what it has now.
    """
    sealed = _attribute(descriptor, SIZE_ATTRIBUTE)
    return None if sealed in (None, str(size_bytes)) else sealed


def _attribute(descriptor: int, name: str) -> str | None:
    try:
        return os.getxattr(descriptor, name).decode("ascii", "replace")
    except OSError as error:
        if error.errno in (errno.ENODATA, errno.ENOTSUP):
            return None
        raise


def sha256_of(descriptor: int) -> str:
    """SHA-256 of a whole file, 64 hex digits, in constant memory."""
    digest, start = hashlib.sha256(), 0
    while chunk := os.pread(descriptor, CHUNK_BYTES, start):
        digest.update(chunk)
        start += len(chunk)
    return digest.hexdigest()


def flush_folder(folder: str) -> None:
    """Make the names in a folder durable."""
    with opened(folder, os.O_RDONLY | os.O_DIRECTORY) as descriptor:
        os.fsync(descriptor)
