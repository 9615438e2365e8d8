"""The contents of S3 requests and responses: metadata, checksums and bodies."""

from __future__ import annotations

import os
from base64 import b64encode
from collections.abc import AsyncIterator, Mapping
from io import BufferedReader
from pathlib import Path
from typing import Any, Final

from shared.errors import StorageUnavailable
from shared.storage.digests import parse_digest
from shared.storage.interface import BlobInfo
from shared.storage.keys import MAX_KEY_BYTES
from shared.storage.s3_errors import mapped_s3_errors

CHUNK_BYTES: Final = 256 * 1024
DIGEST: Final = "sha256"
IDENTITY: Final = "identity"
GENERATION: Final = "generation"


def description(
    content_type: str, digest: str, identity_digest: str | None = None, generation: int = 0
) -> Any:
    """The parameters that store attributes with a body, and its checksum, which the server verifies."""
    identity = {} if identity_digest is None else {IDENTITY: identity_digest}
    return {
        "ContentType": content_type,
        "Metadata": {DIGEST: digest} | identity | ({GENERATION: str(generation)} if generation else {}),
        "ChecksumSHA256": b64encode(bytes.fromhex(digest)).decode(),
    }


def open_nameless(path: Path) -> BufferedReader:
    """The file, opened by descriptor. The client would send a named file's name as Content-Disposition."""
    return os.fdopen(os.open(path, os.O_RDONLY | os.O_CLOEXEC), "rb")


def is_too_long(where: Mapping[str, str]) -> bool:
    """True for a key that is too long for S3. Servers differ in how they refuse one."""
    return len(where["Key"].encode()) > MAX_KEY_BYTES


def info_of(key: str, answer: Mapping[str, Any]) -> BlobInfo:
    """The info of the whole object, from the answer to a GET or HEAD, which may carry only a span."""
    metadata = answer.get("Metadata", {})
    span = answer.get("ContentRange")  # `bytes 0-99/1234`
    return BlobInfo(
        key=key,
        size_bytes=int(span.rpartition("/")[2]) if span else answer["ContentLength"],
        digest=parse_digest(metadata.get(DIGEST)),
        identity_digest=parse_digest(metadata.get(IDENTITY)),
        revision=answer["ETag"],
        modified_at=answer["LastModified"],
        generation=_parse_generation(metadata.get(GENERATION)),
    )


def _parse_generation(text: str | None) -> int:
    """The generation in an object's metadata; 0 if there is none of this software."""
    return int(text) if text is not None and text.isascii() and text.isdecimal() else 0


async def chunks(stream: Any, size_bytes: int) -> AsyncIterator[bytes]:
    """The body in pieces. Raises StorageUnavailable when it ends before size_bytes."""
    with mapped_s3_errors():
        while size_bytes > 0 and (chunk := await stream.read(CHUNK_BYTES)):
            size_bytes -= len(chunk)
            yield chunk
    if size_bytes > 0:
        raise StorageUnavailable("blob ended early")


async def no_chunks() -> AsyncIterator[bytes]:
    """A body of no bytes."""
    return
    yield b""
