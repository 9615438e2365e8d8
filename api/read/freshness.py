"""Blobs that are fresh enough: cached, confirmed with storage in time, loaded once at a time.

A change message makes a blob suspect at once; without messages the time-to-live bounds its age.
Stale is better than down: while storage fails, what is cached is served, and says so.

Loads of one key follow each other and never overlap, so what lands later is never older: a reader
does not go back to an older body after a newer one.
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
from shared.encodings import Coding
from shared.errors import StorageFailed, Unavailable
from shared.jobs import Change
from shared.storage.interface import Missing, NotModified

MISSING_TTL_S: Final = 1.0
MISSING_REMEMBERED: Final = 10_000
# Longer keys are legal and asked of storage each time: remembering them would not be bounded.
MISSING_KEY_CHARS: Final = 256
# A cached blob waits no longer than this for storage to confirm it.
REVALIDATION_TIMEOUT_S: Final = 2.0
PAUSE_AFTER_FAILURE_S: Final = 1.0

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Served:
    """A blob to answer with. is_stale: storage could not be asked whether it still holds."""

    blob: CachedBlob
    is_stale: bool = False


@dataclass(slots=True, eq=False)
class Flight:
    """One load of one key, shared by all who wait for it. began, suspect_since: monotonic seconds."""

    began: float
    suspect_since: float = NEVER
    task: asyncio.Task[Served | Missing] | None = None


class FreshBlobs:
    """Blobs of a storage, cached. ttl_s: how long a confirmed blob is served without asking again."""

    def __init__(self, loader: Loader, cache: BlobCache, ttl_s: float) -> None:
        self._loader = loader
        self._cache = cache
        self._variants = Variants(loader, cache)
        self._ttl_s = ttl_s
        self._flights: dict[str, Flight] = {}
        self._missing: OrderedDict[str, float] = OrderedDict()
        self._suspect_since = NEVER
        self._hung_until = NEVER

    async def get(self, key: str, *, is_refresh: bool = False) -> Served | Missing:
        """The blob as storage had it at most ttl_s ago, or after this call began (is_refresh).

        Raises StorageUnavailable or StorageFailed when it is not cached and cannot be loaded.
        """
        asked = time.monotonic()
        needed = asked if is_refresh else max(asked - self._ttl_s, self._suspected(key))
        while (known := self._known(key, needed, asked, is_refresh=is_refresh)) is None:
            flight = self._flights.get(key) or self._take_off(key)
            outcome = await asyncio.shield(_task_of(flight))
            is_gone = isinstance(outcome, Missing) and _is_promised(key)
            if flight.began >= (asked if is_gone else needed):
                return outcome
        return known

    async def describe(self, key: str, *, is_refresh: bool = False) -> Served | Missing:
        """As get, but the body of a blob that is not cached stays in storage (for HEAD)."""
        if self._cache.peek(key) is not None or self._is_missing(key, time.monotonic() - self._ttl_s):
            return await self.get(key, is_refresh=is_refresh)
        began = time.monotonic()
        described = await self._loader.describe(key)
        return described if isinstance(described, Missing) else Served(CachedBlob(described, began))

    async def chosen(self, served: Served, codings: tuple[Coding, ...]) -> Representation:
        """The best representation of a blob: of the first coding that has a variant, else identity."""
        return await self._variants.chosen(served.blob, codings)

    def apply(self, change: Change) -> None:
        """These keys were put again: whatever is held or on its way may be old."""
        now = time.monotonic()
        for key in change.keys:
            self._missing.pop(key, None)
            if (blob := self._cache.peek(key)) is not None:
                blob.suspect_since = now
            if (flight := self._flights.get(key)) is not None:
                flight.suspect_since = now

    def suspect_all(self) -> None:
        """Change messages may have been missed: confirm everything before it is served again."""
        self._suspect_since = time.monotonic()
        self._missing.clear()

    def is_fresh(self, blob: CachedBlob) -> bool:
        """True if the blob is cached and no sign came since it was confirmed that it may have changed."""
        key = blob.identity.info.key
        return self._cache.peek(key) is blob and blob.confirmed_at >= self._suspected(key)

    def refresh_ahead(self, blob: CachedBlob) -> None:
        """Confirm a blob before its time runs out, so that no reader has to wait for it."""
        key = blob.identity.info.key
        if key not in self._flights and time.monotonic() >= max(blob.retry_at, self._hung_until):
            self._take_off(key)

    def _suspected(self, key: str) -> float:
        """When the newest sign came that a key may have changed."""
        blob, flight = self._cache.peek(key), self._flights.get(key)
        return max(
            self._suspect_since,
            blob.suspect_since if blob is not None else NEVER,
            flight.suspect_since if flight is not None else NEVER,
        )

    def _known(self, key: str, needed: float, asked: float, *, is_refresh: bool) -> Served | Missing | None:
        """What can be answered without storage, if anything."""
        if (blob := self._cache.get(key)) is not None:
            if blob.confirmed_at >= needed:
                HITS.inc()
                return Served(blob)
            if not is_refresh and asked < max(blob.retry_at, self._hung_until):
                HITS_STALE.inc()
                return Served(blob, is_stale=True)
        elif self._is_missing(key, needed):
            HITS_MISSING.inc()
            return Missing()
        return None

    def _is_missing(self, key: str, needed: float) -> bool:
        found_missing_at = self._missing.get(key, NEVER)
        return found_missing_at >= max(needed, time.monotonic() - MISSING_TTL_S)

    def _take_off(self, key: str) -> Flight:
        flight = Flight(time.monotonic())
        flight.task = asyncio.create_task(self._fly(key, flight))
        flight.task.add_done_callback(_seen)
        self._flights[key] = flight
        return flight

    async def _fly(self, key: str, flight: Flight) -> Served | Missing:
        try:
            blob = self._cache.peek(key)
            if blob is not None:
                return await self._confirm(key, blob, flight)
            MISSES.inc()
            return self._keep(key, await self._loader.load(key), flight)
        finally:
            del self._flights[key]

    async def _confirm(self, key: str, blob: CachedBlob, flight: Flight) -> Served | Missing:
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
                # A message came: a variant that was not there may have followed its identity body.
                blob.variants = _found(blob)
            blob.confirmed_at = flight.began
            return Served(blob)
        return self._keep(key, outcome, flight, blob)

    def _keep(
        self, key: str, outcome: Representation | Missing, flight: Flight, old: CachedBlob | None = None
    ) -> Served | Missing:
        """Remember what storage said. What a change message overtook stays suspect."""
        if isinstance(outcome, Missing):
            self._cache.remove(key)
            if max(flight.suspect_since, self._suspect_since) <= flight.began:
                self._remember_missing(key, flight.began)
            return outcome
        self._missing.pop(key, None)
        blob = CachedBlob(outcome, flight.began, flight.suspect_since)
        if old is not None and old.identity.etag == outcome.etag:
            blob.variants = _found(old)
        self._cache.put(key, blob)
        return Served(blob)

    def _remember_missing(self, key: str, began: float) -> None:
        if len(key) > MISSING_KEY_CHARS or _is_promised(key):
            return
        self._missing[key] = began
        self._missing.move_to_end(key)
        if len(self._missing) > MISSING_REMEMBERED:
            self._missing.popitem(last=False)


def _is_promised(key: str) -> bool:
    """True for archives and their documents: whoever saw their line in an index file must find them.

    That line may have been read by another process, so storage is asked each time: that one of them is
    missing is never remembered.
    """
    return key.startswith("dl/")


def _found(blob: CachedBlob) -> dict[Coding, Representation | None]:
    """The variants of a blob that storage has, without those that it did not have."""
    return {coding: variant for coding, variant in blob.variants.items() if variant is not None}


def _stale(key: str, blob: CachedBlob, error: Exception) -> Served:
    HITS_STALE.inc()
    log.warning("served_stale", key=key, error=type(error).__name__)
    blob.retry_at = time.monotonic() + PAUSE_AFTER_FAILURE_S
    return Served(blob, is_stale=True)


def _task_of(flight: Flight) -> asyncio.Task[Served | Missing]:
    if flight.task is None:
        raise RuntimeError("a flight is waited for before it took off")
    return flight.task


def _seen(task: asyncio.Task[Served | Missing]) -> None:
    """Take note of a failure even if everyone who waited for it has gone: each waiter raises it itself."""
    if not task.cancelled():
        task.exception()
