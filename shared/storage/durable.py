"""File operations that outlast a power cut."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from shared.storage.attributes import Attributes, write_attributes

CHUNK_BYTES: Final = 256 * 1024
FILE_MODE: Final = 0o644
"""Group and others may read, because readers may run under another account (nginx over the same tree)."""


@contextmanager
def opened(path: str | Path, flags: int) -> Iterator[int]:
    """The descriptor of a file, closed at the end."""
    descriptor = os.open(path, flags | os.O_CLOEXEC, FILE_MODE)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def write_all(descriptor: int, body: bytes | bytearray) -> None:
    """Write every byte; a single os.write may write fewer."""
    view = memoryview(body)
    while view:
        view = view[os.write(descriptor, view) :]


def read_all(descriptor: int, size_bytes: int) -> bytes:
    """The next size_bytes of a file, or all that are left; a single os.read may return fewer."""
    body = os.read(descriptor, size_bytes)
    while len(body) < size_bytes and (more := os.read(descriptor, size_bytes - len(body))):
        body += more
    return body


def write_from(descriptor: int, source: int) -> None:
    """Write the rest of another file, in constant memory."""
    while chunk := os.read(source, CHUNK_BYTES):
        write_all(descriptor, chunk)


def seal(descriptor: int, attributes: Attributes) -> None:
    """Set attributes, mode and time of a file before it gets its name, and start writing it to disk.

    The time is the clock's, in nanoseconds. The kernel's own timestamps advance in steps of milliseconds,
    within which an inode number can be reused; the revision is made of both, so it would not change.
    """
    write_attributes(descriptor, attributes)
    os.fchmod(descriptor, FILE_MODE)
    now_ns = time.time_ns()
    os.utime(descriptor, ns=(now_ns, now_ns))
    # Start the writing without waiting for it, so that one commit of the journal serves every file that
    # is flushed afterwards.
    os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)


def sha256_of(descriptor: int) -> str:
    """SHA-256 of a whole file, 64 hex digits, in constant memory."""
    digest, start = hashlib.sha256(), 0
    while chunk := os.pread(descriptor, CHUNK_BYTES, start):
        digest.update(chunk)
        start += len(chunk)
    return digest.hexdigest()


def flush_folder(folder: str | Path) -> None:
    """Make the names in a folder durable. Raises OSError."""
    with opened(folder, os.O_RDONLY | os.O_DIRECTORY) as descriptor:
        os.fsync(descriptor)


def write_private_file(path: Path, text: str) -> None:
    """Write text to a file of mode 0600, all of it or nothing. Raises OSError."""
    temporary = path.with_name(f".{path.name}.new")
    temporary.unlink(missing_ok=True)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(descriptor)
    temporary.rename(path)
    flush_folder(path.parent)
