"""Compressed variants of cached blobs, looked up when a reader first accepts one.

A variant is used only if its identity_digest is the digest of the cached identity body. It is cached and
removed together with that body, so it has no freshness of its own.
"""

from __future__ import annotations

import asyncio

import structlog

from api.read.cache import BlobCache, CachedBlob
from api.read.loading import Loader
from api.read.representation import Representation
from shared.encodings import MIN_COMPRESSED_BYTES, Coding, variant_key
from shared.errors import StorageFailed, Unavailable
from shared.storage.interface import Missing

# Storage gets this long to return a variant; after that the reader gets the identity body.
VARIANT_TIMEOUT_S = 2.0

log = structlog.get_logger()


class Variants:
    """Finds the variants of cached blobs and keeps them with the blob."""

    def __init__(self, loader: Loader, cache: BlobCache) -> None:
        self._loader = loader
        self._cache = cache
        self._loads: dict[tuple[CachedBlob, Coding], asyncio.Task[Representation | None]] = {}

    async def chosen(self, blob: CachedBlob, codings: tuple[Coding, ...]) -> Representation:
        """The representation of the first of these codings that has a variant, else identity."""
        if blob.identity.size_bytes < MIN_COMPRESSED_BYTES:
            return blob.identity
        for coding in codings:
            variant = blob.variants[coding] if coding in blob.variants else await self._find(blob, coding)
            if variant is not None:
                return variant
        return blob.identity

    async def _find(self, blob: CachedBlob, coding: Coding) -> Representation | None:
        """Look in storage, once for all concurrent requests."""
        load = self._loads.get((blob, coding))
        if load is None:
            load = asyncio.create_task(self._load(blob, coding))
            self._loads[blob, coding] = load
        return await asyncio.shield(load)

    async def _load(self, blob: CachedBlob, coding: Coding) -> Representation | None:
        """None if this body has no variant, or if storage fails; then the next request looks again."""
        key = blob.identity.info.key
        is_cached = self._cache.peek(key) is blob
        look = self._loader.load if is_cached else self._loader.describe
        try:
            async with asyncio.timeout(VARIANT_TIMEOUT_S):
                found = await look(variant_key(key, coding), coding)
        except (Unavailable, StorageFailed, TimeoutError) as error:
            log.warning("variant_unavailable", key=key, coding=coding, error=type(error).__name__)
            return None
        finally:
            del self._loads[blob, coding]
        variant = None if isinstance(found, Missing) else _of(blob, found)
        blob.variants[coding] = variant
        if self._cache.peek(key) is blob:
            self._cache.put(key, blob)
        return variant


def _of(blob: CachedBlob, variant: Representation) -> Representation | None:
    """The variant if it was made from this blob's identity body."""
    return variant if variant.info.identity_digest == blob.identity.info.digest else None
