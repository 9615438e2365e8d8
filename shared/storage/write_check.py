"""Readiness of storage for writers: receives, puts and deletes a small upload, like a publish."""

from __future__ import annotations

import asyncio
import hashlib
import tempfile
import time
from pathlib import Path
from typing import Final

from shared.blobs import ARCHIVE_TYPE, new_upload_id, staging_key
from shared.settings import Settings
from shared.storage.interface import Storage
from shared.storage.os_errors import mapped_os_errors
from shared.storage.reporting import reporting

PROBE: Final = bytes(64 * 1024)
PROBE_DIGEST: Final = hashlib.sha256(PROBE).hexdigest()
# While writes succeed, one is tried at most this often, because on S3 each costs money.
TRIED_EVERY_S: Final = 10.0


class WriteCheck:
    """The check of one process.

    Garbage collection removes the probe of a process that dies during a check.
    """

    def __init__(self, storage: Storage, settings: Settings) -> None:
        self._storage = storage
        self._spool_dir = settings.spool_dir
        self._worked_at = float("-inf")
        self._trying = asyncio.Lock()

    async def __call__(self) -> None:
        """Raise StorageUnavailable or StorageFailed unless storage answers and accepts a write."""
        await self._storage.check()
        async with self._trying:
            if time.monotonic() - self._worked_at < TRIED_EVERY_S:
                return
            self._worked_at = float("-inf")
            await self._try()
            self._worked_at = time.monotonic()

    async def _try(self) -> None:
        with reporting("receive"):
            path = await asyncio.to_thread(_spooled, self._spool_dir)
        try:
            key = staging_key(PROBE_DIGEST, new_upload_id())
            await self._storage.put_file(key, path, content_type=ARCHIVE_TYPE, digest=PROBE_DIGEST)
            await self._storage.delete(key)
        finally:
            path.unlink(missing_ok=True)


def _spooled(folder: Path) -> Path:
    """A file with the probe, where uploads are received. Raises as storage does."""
    with mapped_os_errors():
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(prefix="upload-", dir=folder, delete=False) as file:
            try:
                file.write(PROBE)
                file.flush()
            except OSError:
                Path(file.name).unlink(missing_ok=True)
                raise
        return Path(file.name)
