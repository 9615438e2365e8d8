"""Locks under which a file is compared and replaced in one step, even by processes on several hosts.

A lock is an flock on one of 256 files below the root, chosen by the folder of the file. The kernel releases
it when its holder dies. The folder itself cannot be locked, because over NFS an flock needs a file that is
open for writing.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from shared.errors import StorageUnavailable
from shared.storage.durable import opened
from shared.storage.keys import TEMPORARY
from shared.storage.leftovers import LOCKS

# The holder compares and renames, which takes microseconds, so whoever holds a lock longer was stopped. The
# other files of a batch wait as long, and their transaction must not idle for longer than Postgres lets it.
PATIENCE_S: Final = 0.25
PAUSE_S: Final = 0.001


class ReplacementLocks:
    """The locks of one root."""

    def __init__(self, root: str) -> None:
        """root: absolute. The lock files are created when they are first needed."""
        self._folder = os.path.join(root, TEMPORARY, LOCKS)

    @contextmanager
    def held(self, key: str) -> Iterator[None]:
        """Hold the lock of the key's folder. Raises StorageUnavailable if its holder seems to be stopped."""
        with opened(self._lock_file(key), os.O_RDWR | os.O_CREAT) as descriptor:
            _lock(descriptor, key)
            try:
                yield
            finally:
                # Closing is not enough: a process that was forked meanwhile has the file open too.
                fcntl.flock(descriptor, fcntl.LOCK_UN)

    def _lock_file(self, key: str) -> str:
        """The lock file, which is the same on every host, wherever the root is mounted."""
        os.makedirs(self._folder, exist_ok=True)
        return os.path.join(self._folder, hashlib.sha256(os.path.dirname(key).encode()).hexdigest()[:2])


def _lock(descriptor: int, key: str) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise StorageUnavailable(f"another process does not finish replacing {key}") from None
        time.sleep(PAUSE_S)
