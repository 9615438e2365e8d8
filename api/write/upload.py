"""An upload on its way to disk: hashed and counted as it comes, in constant memory."""

from __future__ import annotations

import asyncio
import hashlib
import os
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import structlog
from starlette.requests import ClientDisconnect, Request

from api.write.metrics import publish_stage
from api.write.pace import Taking
from shared.errors import BodyTooLarge, StorageUnavailable

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
    try:
        descriptor, name = await asyncio.to_thread(_new_file, directory)
    except OSError as error:
        raise StorageUnavailable from error
    path = Path(name)
    try:
        with os.fdopen(descriptor, "wb", buffering=0) as file, publish_stage("spool"):
            upload = await _receive(request, file.fileno(), path, max_bytes, taking)
        yield upload
    finally:
        await asyncio.to_thread(_remove, path)


def _remove(path: Path) -> None:
    """Remove an upload; one that stays, on a disk that broke meanwhile, fails no publish."""
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        log.warning("upload_not_removed", error=str(error))


def _refuse_declared_length(request: Request, max_bytes: int) -> None:
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared) > max_bytes:
        raise BodyTooLarge


def _new_file(directory: Path) -> tuple[int, str]:
    directory.mkdir(parents=True, exist_ok=True)
    return tempfile.mkstemp(prefix="upload-", dir=directory)


async def _receive(request: Request, descriptor: int, path: Path, max_bytes: int, taking: Taking) -> Upload:
    digest, size, buffer = hashlib.sha256(), 0, bytearray()

    def drain() -> None:
        digest.update(buffer)
        view = memoryview(buffer)
        while view:
            view = view[os.write(descriptor, view) :]

    try:
        async for chunk in request.stream():
            size += len(chunk)
            if size > max_bytes:
                raise BodyTooLarge
            await taking(len(chunk))
            buffer += chunk
            if len(buffer) >= BUFFER_BYTES:
                await asyncio.to_thread(drain)
                buffer.clear()
        await asyncio.to_thread(drain)
    except ClientDisconnect as error:
        raise BodyTooLarge("upload broke off") from error
    except OSError as error:
        raise StorageUnavailable from error
    return Upload(path, digest.hexdigest(), size)
