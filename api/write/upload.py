"""An upload on its way to disk: hashed and counted as it comes, in constant memory."""

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
from api.write.pace import Taking
from shared.errors import BodyTooLarge, StorageUnavailable
from shared.storage.durable import write_all

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
    """The request's body in a file of its own, which is gone at the end; taking: its pace.

    Raises BodyTooLarge over max_bytes or when the upload breaks off, StorageUnavailable when the
    disk does not take it.
    """
    _refuse_declared_length(request, max_bytes)
    file = _File(directory)
    try:
        with publish_stage("spool"):
            upload = await _receive(request, file, max_bytes, taking)
        yield upload
    finally:
        if file.is_there():  # storage has mostly taken it away by now, and a thread is not for nothing
            await asyncio.to_thread(file.remove)


class _File:
    """A file that is made with its first bytes. What takes time is for a thread; OSErrors come through."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        # A request that is cancelled leaves its thread behind, which must not write to a closed file.
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
        """Write the last bytes, maybe none; the file's path, and the SHA-256 of it all in hex."""
        self.append(part)
        self._close()
        if self._path is None:
            raise RuntimeError("a file that was written to has a path")
        return self._path, self._digest.hexdigest()

    def is_there(self) -> bool:
        """True if there is something to remove."""
        return self._descriptor is not None or (self._path is not None and os.path.lexists(self._path))

    def remove(self) -> None:
        """Remove the file; one that stays, on a disk that broke meanwhile, fails no publish."""
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
    """Write the body a buffer at a time; a small one costs a single hop to a thread."""
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
