"""A nameless temporary file of bodies, each at the place where it was appended; gone with the process."""

from __future__ import annotations

import os
import tempfile
import threading
import weakref

from shared.storage.os_errors import mapped_os_errors


class SectionFile:
    """Appends and reads; closed when nothing refers to it.

    A build that is cancelled may leave a thread that still appends: each has a place of its own. Raises
    StorageUnavailable or StorageFailed if the disk does not work.
    """

    def __init__(self) -> None:
        with mapped_os_errors():
            self._file = tempfile.TemporaryFile(prefix="x07-catalog-", buffering=0)  # noqa: SIM115 - kept open
        weakref.finalize(self, self._file.close)
        self._lock = threading.Lock()
        self.size_bytes = 0

    def append(self, body: bytes) -> int:
        """Append a body. Returns where it begins, in bytes from the start of the file."""
        with self._lock:
            start, self.size_bytes = self.size_bytes, self.size_bytes + len(body)
        view, place = memoryview(body), start
        with mapped_os_errors():
            while view:
                written = os.pwrite(self._file.fileno(), view, place)
                view, place = view[written:], place + written
        return start

    def read(self, start: int, size_bytes: int) -> bytes:
        """What was appended there."""
        with mapped_os_errors():
            return os.pread(self._file.fileno(), size_bytes, start)
