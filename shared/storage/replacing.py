"""Replaces a rendered file only if storage still has the blob that the worker saw (docs/decisions/0007).

After a worker has died, S3 may still apply its last put, when a rival has put a newer body. Each put
therefore names the blob that the worker saw after taking its lock, so that the late put fails.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Required, TypedDict, Unpack

from shared.errors import StorageUnavailable
from shared.storage.interface import BlobInfo, Storage


class Described(TypedDict, total=False):
    """The description of a blob, as Storage.put takes it."""

    content_type: Required[str]
    digest: Required[str]
    identity_digest: str | None
    generation: int


async def replace_blob(
    storage: Storage, key: str, body: bytes | Path, *, seen: BlobInfo | None, content_type: str, digest: str
) -> None:
    """Put a body, or a file's content, over the blob that was seen; None if there was none.

    Raises StorageUnavailable if something else was put or deleted meanwhile: the body may be older than that,
    and has to be rendered again.
    """
    is_put = await put_over(storage, key, body, seen, content_type=content_type, digest=digest)
    if not is_put and not await _is_there(storage, key, digest):
        raise StorageUnavailable(f"{key} was changed by somebody else meanwhile, try again")


async def put_over(
    storage: Storage, key: str, body: bytes | Path, seen: BlobInfo | None, **described: Unpack[Described]
) -> bool:
    """Put a body, or a file's content, over the blob that was seen. False: there is another one by now."""
    absent, revision = seen is None, None if seen is None else seen.revision
    put: Any = storage.put_file if isinstance(body, Path) else storage.put
    return bool(await put(key, body, **described, only_if_absent=absent, if_revision=revision))


async def _is_there(storage: Storage, key: str, digest: str) -> bool:
    """True if the blob is our own: a put whose response was lost is retried, and finds its own blob."""
    now = await storage.head(key)
    return now is not None and now.digest == digest
