"""Replaces a rendered file only if storage still has the blob that the worker saw (docs/decisions/0007).

After a worker has died, S3 may still apply its last put, when a rival has put a newer body. Each put
therefore names the blob that the worker saw after taking its lock, so that the late put fails.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from shared.errors import StorageUnavailable
from shared.storage.interface import BlobInfo, Storage


async def replace_blob(
    storage: Storage, key: str, body: bytes | Path, *, seen: BlobInfo | None, content_type: str, digest: str
) -> None:
    """Put a body, or a file's content, over the blob that was seen; None if there was none.

    Raises StorageUnavailable if something else was put or deleted meanwhile: the body may be older than that,
    and has to be rendered again.
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
    """True if the blob is our own: a put whose response was lost is retried, and finds its own blob."""
    now = await storage.head(key)
    return now is not None and now.digest == digest
