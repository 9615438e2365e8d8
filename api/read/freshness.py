"""Keeps cached blobs fresh: confirms them with storage in time, with one load per key at a time.

A change message makes a blob suspect at once; without messages the time-to-live limits its age. While storage
fails, cached blobs are served, and the answer says that they are stale.

Loads of one key run one after another, so a later load never returns an older body, and a reader never
sees an older body after a newer one.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

import structlog

from api.read.cache import NEVER, BlobCache, CachedBlob
from api.read.loading import Loader
from api.read.metrics import HITS, HITS_MISSING, HITS_STALE, MISSES, REVALIDATIONS
from api.read.representation import Representation
from api.read.variants import Variants
from shared.blobs import LOG_PREFIX
from shared.encodings import Coding
from shared.errors import StorageFailed, Unavailable
from shared.messages import Change
from shared.storage.interface import Missing, NotModified

MISSING_TTL_S: Final = 1.0
MISSING_REMEMBERED: Final = 10_000
# Longer keys are not remembered as missing, so that the memory for missing keys is bounded.
MISSING_KEY_CHARS: Final = 256
# Storage gets this long to confirm a cached blob.
REVALIDATION_TIMEOUT_S: Final = 2.0
PAUSE_AFTER_FAILURE_S: Final = 1.0

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Served:
    """A blob to answer with. is_stale: storage could not confirm that the blob is current."""

    blob: CachedBlob
    is_stale: bool = False


LOAD: Final = "read_load"
"""Key of a Load in the state of the request that began it."""


@dataclass(slots=True, eq=False)
class Load:
    """One load of one key, shared by all who wait for it. began, suspect_since: monotonic seconds."""

    key: str
    began: float
    suspect_since: float = NEVER
    task: asyncio.Task[Served | Missing] | None = None


class FreshBlobs:
    """Cached blobs of a storage. ttl_s: how long a confirmed blob is served without asking storage again."""

    def __init__(self, loader: Loader, cache: BlobCache, ttl_s: float) -> None:
        self._loader = loader
        self._cache = cache
        self.variants = Variants(loader, cache)
        self._ttl_s = ttl_s
        self._loads: dict[str, Load] = {}
        self._missing: OrderedDict[str, tuple[float, Missing]] = OrderedDict()
        self._suspect_since = NEVER
        self._hung_until = NEVER

    async def get(self, key: str, *, is_refresh: bool = False) -> Served | Missing:
        """The blob as storage had it at most ttl_s ago; with is_refresh, after this call began.

        Raises StorageUnavailable or StorageFailed when the blob is not cached and cannot be loaded.
        """
        asked = time.monotonic()
        needed = asked if is_refresh else max(asked - self._ttl_s, self._suspected(key))
        while (known := self._known(key, needed, asked, is_refresh=is_refresh)) is None:
            load = self._loads.get(key) or self._start_load(key)
            outcome = await asyncio.shield(task_of(load))
            is_gone = isinstance(outcome, Missing) and _is_promised(key)
            if load.began >= (asked if is_gone else needed):
                return outcome
        return known

    def begin(self, key: str) -> Load | None:
        """Begin to load a blob, or join a load that shows the present blob.

        None if it is cached, or was missing a moment ago, or if the load that is under way began too early.
        """
        if self._cache.peek(key) is not None or key in self._missing:
            return None
        needed = max(time.monotonic() - self._ttl_s, self._suspected(key))
        load = self._loads.get(key) or self._start_load(key)
        return load if load.began >= needed else None

    async def outcome(self, load: Load) -> Served | Missing:
        """What `get` returns, or raises, to the reader that began this load, even if it has ended."""
        return await asyncio.shield(task_of(load))

    async def describe(self, key: str, *, is_refresh: bool = False) -> Served | Missing:
        """Like get, but the body of a blob that is not cached stays in storage (for HEAD)."""
        if self._cache.peek(key) is not None or self._is_missing(key, time.monotonic() - self._ttl_s):
            return await self.get(key, is_refresh=is_refresh)
        began = time.monotonic()
        described = await self._loader.describe(key)
        return described if isinstance(described, Missing) else Served(CachedBlob(described, began))

    def apply(self, change: Change) -> None:
        """Mark the cached blobs and running loads of the keys that were put again as suspect."""
        now = time.monotonic()
        for key in change.keys:
            self._missing.pop(key, None)
            if (blob := self._cache.peek(key)) is not None:
                blob.suspect_since = now
            if (load := self._loads.get(key)) is not None:
                load.suspect_since = now

    def suspect_all(self) -> None:
        """Mark every blob as suspect, because change messages may have been missed."""
        self._suspect_since = time.monotonic()
        self._missing.clear()

    def is_fresh(self, blob: CachedBlob) -> bool:
        """True if the blob is cached and nothing has indicated a change since it was confirmed."""
        key = blob.identity.info.key
        return self._cache.peek(key) is blob and blob.confirmed_at >= self._suspected(key)

    def is_overtaken(self, blob: CachedBlob) -> bool:
        """True if another body of the same key was loaded after this one."""
        held = self._cache.peek(blob.identity.info.key)
        return held is not None and held.identity.etag != blob.identity.etag

    def refresh_ahead(self, blob: CachedBlob) -> None:
        """Confirm a blob before its time-to-live ends, so that no reader has to wait for it."""
        key = blob.identity.info.key
        if key not in self._loads and time.monotonic() >= max(blob.retry_at, self._hung_until):
            self._start_load(key)

    def _suspected(self, key: str) -> float:
        """The time of the newest sign that the key may have changed."""
        blob, load = self._cache.peek(key), self._loads.get(key)
        return max(
            self._suspect_since,
            blob.suspect_since if blob is not None else NEVER,
            load.suspect_since if load is not None else NEVER,
        )

    def _known(self, key: str, needed: float, asked: float, *, is_refresh: bool) -> Served | Missing | None:
        """The answer that needs no storage, or None."""
        if (blob := self._cache.get(key)) is not None:
            if blob.confirmed_at >= needed:
                HITS.inc()
                return Served(blob)
            if not is_refresh and asked < max(blob.retry_at, self._hung_until):
                HITS_STALE.inc()
                return Served(blob, is_stale=True)
        elif self._is_missing(key, needed):
            HITS_MISSING.inc()
            return self._missing[key][1]
        return None

    def _is_missing(self, key: str, needed: float) -> bool:
        found_missing_at, _ = self._missing.get(key, (NEVER, None))
        return found_missing_at >= max(needed, time.monotonic() - MISSING_TTL_S)

    def _start_load(self, key: str) -> Load:
        load = Load(key, time.monotonic())
        load.task = asyncio.create_task(self._run_load(key, load))
        load.task.add_done_callback(_seen)
        self._loads[key] = load
        return load

    async def _run_load(self, key: str, load: Load) -> Served | Missing:
        try:
            blob = self._cache.peek(key)
            if blob is not None:
                return await self._confirm(key, blob, load)
            MISSES.inc()
            return self._keep(key, await self._loader.load(key), load)
        finally:
            del self._loads[key]

    async def _confirm(self, key: str, blob: CachedBlob, load: Load) -> Served | Missing:
        REVALIDATIONS.inc()
        try:
            async with asyncio.timeout(REVALIDATION_TIMEOUT_S):
                outcome = await self._loader.reload(blob.identity)
        except TimeoutError as error:
            self._hung_until = time.monotonic() + PAUSE_AFTER_FAILURE_S
            return _stale(key, blob, error)
        except (Unavailable, StorageFailed) as error:
            return _stale(key, blob, error)
        if isinstance(outcome, NotModified):
            if blob.confirmed_at < self._suspected(key):
                # A change message arrived, so variants that were missing may exist now.
                blob.variants = _found(blob)
            blob.confirmed_at = load.began
            return Served(blob)
        return self._keep(key, outcome, load, blob)

    def _keep(
        self, key: str, outcome: Representation | Missing, load: Load, old: CachedBlob | None = None
    ) -> Served | Missing:
        """Remember the answer of storage. It stays suspect if a change message arrived during the load."""
        if isinstance(outcome, Missing):
            self._cache.remove(key)
            if max(load.suspect_since, self._suspect_since) <= load.began:
                self._remember_missing(key, load.began, outcome)
            return outcome
        self._missing.pop(key, None)
        blob = CachedBlob(outcome, load.began, load.suspect_since)
        if old is not None and old.identity.etag == outcome.etag:
            blob.variants = _found(old)
        self._cache.put(key, blob)
        return Served(blob)

    def _remember_missing(self, key: str, began: float, missing: Missing) -> None:
        if len(key) > MISSING_KEY_CHARS or _is_promised(key):
            return
        self._missing[key] = (began, missing)
        self._missing.move_to_end(key)
        if len(self._missing) > MISSING_REMEMBERED:
            self._missing.popitem(last=False)


def _is_promised(key: str) -> bool:
    """True for files that another file refers to: archives and their documents, and the tiles of the log.

    The client may have read the index line or the checkpoint from another process. So a missing file of this
    kind is never remembered as missing, and storage is asked every time.
    """
    return key.startswith(("dl/", LOG_PREFIX))


def _found(blob: CachedBlob) -> dict[Coding, Representation | None]:
    """The variants that storage holds; those that were missing are left out."""
    return {coding: variant for coding, variant in blob.variants.items() if variant is not None}


def _stale(key: str, blob: CachedBlob, error: Exception) -> Served:
    HITS_STALE.inc()
    log.warning("served_stale", key=key, error=type(error).__name__)
    blob.retry_at = time.monotonic() + PAUSE_AFTER_FAILURE_S
    return Served(blob, is_stale=True)


def task_of(load: Load) -> asyncio.Task[Served | Missing]:
    """The task of a load."""
    if load.task is None:
        raise RuntimeError("a load is waited for before it started")
    return load.task


def _seen(task: asyncio.Task[Served | Missing]) -> None:
    """Retrieve the exception, so that asyncio does not report it; each waiter raises it."""
    if not task.cancelled():
        task.exception()
