"""Rendered files replace what their worker saw, and nothing newer (docs/decisions/0007).

A worker can die after S3 has taken a whole put, and S3 may apply it when a rival has put a newer body.
Each put therefore names the body that was there before it, seen behind the lock; the late one then loses.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from shared.errors import StorageUnavailable
from shared.storage.interface import BlobInfo, Storage


async def replace_blob(
    storage: Storage, key: str, body: bytes | Path, *, seen: BlobInfo | None, content_type: str, digest: str
) -> None:
    """Put a body, or that of a file, over what was seen there; None: nothing was.

    Raises StorageUnavailable when something else was put or deleted meanwhile: what was rendered may be
    older than that, and is to be rendered again.
    """
    described: dict[str, Any] = {
        "content_type": content_type,
        "digest": digest,
        "only_if_absent": seen is None,
        "if_revision": None if seen is None else seen.revision,
    }
    if isinstance(body, Path):
        is_put = await storage.put_file(key, body, **described)
    else:
        is_put = await storage.put(key, body, **described)
    if not is_put and not await _is_there(storage, key, digest):
        raise StorageUnavailable(f"{key} was changed by somebody else meanwhile, try again")


async def _is_there(storage: Storage, key: str, digest: str) -> bool:
    """True if the blob is ours after all: a put whose answer was lost is repeated, and finds itself."""
    now = await storage.head(key)
    return now is not None and now.digest == digest
