"""Receives an upload into a file, hashing and counting the bytes as they arrive, in constant memory."""

from __future__ import annotations

import asyncio
import hashlib
import os
import tempfile
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import structlog
from starlette.requests import ClientDisconnect, Request

from api.write.metrics import publish_stage
from api.write.upload_throttle import Taking
from shared.errors import StorageUnavailable
from shared.publish_errors import BodyTooLarge
from shared.storage.durable import write_all
from shared.storage.reporting import reporting

BUFFER_BYTES = 1 << 20

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Upload:
    """A received archive. sha256: 64 lower-case hex digits of its bytes."""

    path: Path
    sha256: str
    size_bytes: int


@asynccontextmanager
async def received_archive(
    request: Request, directory: Path, max_bytes: int, taking: Taking
) -> AsyncIterator[Upload]:
    """Receive the request's body into a temporary file, which is deleted at the end. taking: the throttle.

    Raises BodyTooLarge over max_bytes or when the upload breaks off, and StorageUnavailable when the disk
    fails.
    """
    _refuse_declared_length(request, max_bytes)
    file = _File(directory)
    try:
        with publish_stage("spool"), reporting("receive"):
            upload = await _receive(request, file, max_bytes, taking)
        yield upload
    finally:
        if file.is_there():  # storage has usually moved the file already; then skip the thread hop
            await asyncio.to_thread(file.remove)


class _File:
    """A file that is created with its first bytes. Its methods block and raise OSError."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        # When a request is cancelled, its thread runs on; it must not write to a closed file.
        self._lock = threading.Lock()
        self._descriptor: int | None = None
        self._digest = hashlib.sha256()
        self._path: Path | None = None

    def append(self, part: bytearray) -> None:
        """Write the next bytes."""
        with self._lock:
            if self._descriptor is None:
                self._directory.mkdir(parents=True, exist_ok=True)
                self._descriptor, name = tempfile.mkstemp(prefix="upload-", dir=self._directory)
                self._path = Path(name)
            self._digest.update(part)
            write_all(self._descriptor, part)

    def finish(self, part: bytearray) -> tuple[Path, str]:
        """Write the last bytes, if any. Returns the file's path, and the SHA-256 of the whole file in hex."""
        self.append(part)
        self._close()
        if self._path is None:
            raise RuntimeError("a file that was written to has a path")
        return self._path, self._digest.hexdigest()

    def is_there(self) -> bool:
        """True if there is something to remove."""
        return self._descriptor is not None or (self._path is not None and os.path.lexists(self._path))

    def remove(self) -> None:
        """Delete the file. A failure (a broken disk) is ignored, because it must not fail the publish."""
        self._close()
        try:
            if self._path is not None:
                self._path.unlink(missing_ok=True)
        except OSError as error:
            log.warning("upload_not_removed", error=str(error))

    def _close(self) -> None:
        with self._lock:
            if self._descriptor is not None:
                os.close(self._descriptor)
                self._descriptor = None


def _refuse_declared_length(request: Request, max_bytes: int) -> None:
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared) > max_bytes:
        raise BodyTooLarge


async def _receive(request: Request, file: _File, max_bytes: int, taking: Taking) -> Upload:
    """Write the body one buffer at a time. A small body needs a single thread hop."""
    size, buffer = 0, bytearray()
    try:
        async for chunk in request.stream():
            size += len(chunk)
            if size > max_bytes:
                raise BodyTooLarge
            await taking(len(chunk))
            buffer += chunk
            if len(buffer) >= BUFFER_BYTES:
                await asyncio.to_thread(file.append, buffer)
                buffer.clear()
        path, sha256 = await asyncio.to_thread(file.finish, buffer)
    except ClientDisconnect as error:
        raise BodyTooLarge("upload broke off") from error
    except OSError as error:
        raise StorageUnavailable from error
    return Upload(path, sha256, size)
