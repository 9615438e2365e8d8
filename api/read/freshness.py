"""Blobs that are fresh enough: cached, confirmed with storage in time, loaded once at a time.

A change message makes a blob suspect at once; without messages the time-to-live bounds its age.
Stale is better than down: while storage fails, what is cached is served, and says so.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from dataclasses import dataclass

import structlog

from api.read.cache import BlobCache, CachedBlob
from api.read.metrics import CACHE_LOOKUPS
from shared.errors import Unavailable
from shared.jobs import Change
from shared.storage.interface import Found, Missing, NotModified, Storage

MISSING_TTL_S = 1.0
MISSING_REMEMBERED = 10_000
# A cached blob waits no longer than this for storage to confirm it.
REVALIDATION_TIMEOUT_S = 2.0
PAUSE_AFTER_FAILURE_S = 1.0

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Served:
    """A blob to answer with. is_stale: storage could not be asked whether it still holds."""

    found: Found
    etag: str
    is_stale: bool = False


class Flight:
    """One load of one key, shared by all who wait for it."""

    def __init__(self, task: asyncio.Task[Served | Missing], began: float) -> None:
        self.task = task
        self.began = began
        self.is_outdated = False


class FreshBlobs:
    """Blobs of a storage, cached. ttl_s: how long a confirmed blob is served without asking again."""

    def __init__(self, storage: Storage, cache: BlobCache, ttl_s: float) -> None:
        self._storage = storage
        self._cache = cache
        self._ttl_s = ttl_s
        self._flights: dict[str, Flight] = {}
        self._missing: OrderedDict[str, float] = OrderedDict()
        self._suspect_all_since = float("-inf")

    async def get(self, key: str, *, is_refresh: bool = False) -> Served | Missing:
        """The blob as storage had it at most ttl_s ago, or after this call began (is_refresh).

        Raises StorageUnavailable or StorageFailed when it is not cached and cannot be loaded.
        """
        asked = time.monotonic()
        while True:
            if (known := self._known(key, asked, is_refresh=is_refresh)) is not None:
                return known
            flight = self._flights.get(key)
            if flight is None:
                flight = self._take_off(key)
            is_recent = not is_refresh or flight.began >= asked
            outcome = await asyncio.shield(flight.task)
            if is_recent and not flight.is_outdated:
                return outcome

    def peek(self, key: str) -> Served | None:
        """The blob if it can be served without waiting."""
        known = self._known(key, time.monotonic(), is_refresh=False)
        return known if isinstance(known, Served) else None

    def apply(self, change: Change) -> None:
        """These keys were put again: whatever is held or on its way may be old."""
        for key in change.keys:
            self._missing.pop(key, None)
            if (entry := self._cache.peek(key)) is not None:
                entry.suspect_since = time.monotonic()
            if (flight := self._flights.pop(key, None)) is not None:
                flight.is_outdated = True

    def suspect_all(self) -> None:
        """Change messages may have been missed: confirm everything before it is served again."""
        self._suspect_all_since = time.monotonic()
        self._missing.clear()
        for flight in self._flights.values():
            flight.is_outdated = True
        self._flights.clear()

    def _known(self, key: str, now: float, *, is_refresh: bool) -> Served | Missing | None:
        """What can be answered without storage, if anything."""
        if is_refresh:
            return None
        if (entry := self._cache.get(key)) is not None:
            needed = max(now - self._ttl_s, entry.suspect_since, self._suspect_all_since)
            if entry.confirmed_at >= needed:
                CACHE_LOOKUPS.labels("hit").inc()
                return Served(entry.found, entry.etag)
            if now < entry.retry_at:
                CACHE_LOOKUPS.labels("stale").inc()
                return Served(entry.found, entry.etag, is_stale=True)
        elif self._missing.get(key, float("-inf")) > now - min(MISSING_TTL_S, self._ttl_s):
            CACHE_LOOKUPS.labels("missing").inc()
            return Missing()
        return None

    def _take_off(self, key: str) -> Flight:
        began = time.monotonic()
        flight = Flight(asyncio.create_task(self._load(key, began)), began)
        self._flights[key] = flight
        flight.task.add_done_callback(lambda _: self._land(key, flight))
        return flight

    def _land(self, key: str, flight: Flight) -> None:
        if self._flights.get(key) is flight:
            del self._flights[key]

    async def _load(self, key: str, began: float) -> Served | Missing:
        entry = self._cache.peek(key)
        try:
            if entry is None:
                CACHE_LOOKUPS.labels("miss").inc()
                outcome = await self._storage.get(key)
            else:
                CACHE_LOOKUPS.labels("revalidate").inc()
                async with asyncio.timeout(REVALIDATION_TIMEOUT_S):
                    outcome = await self._storage.get(key, if_revision=entry.found.info.revision)
        except (Unavailable, TimeoutError) as error:
            if entry is None:
                raise
            return self._serve_stale(key, entry, error)
        return self._keep(key, outcome, entry, began)

    def _keep(
        self, key: str, outcome: Found | NotModified | Missing, entry: CachedBlob | None, began: float
    ) -> Served | Missing:
        """Remember the outcome, unless a change overtook the load."""
        flight = self._flights.get(key)
        is_current = flight is not None and flight.began == began
        match outcome:
            case Found():
                entry = CachedBlob(outcome, f'"{outcome.digest}"', began)
                if is_current:
                    self._cache.put(key, entry)
            case Missing():
                if is_current:
                    self._cache.remove(key)
                    self._remember_missing(key, began)
                return outcome
            case NotModified():
                if entry is None:
                    raise RuntimeError("storage answered NotModified to an unconditional get")
                if is_current:
                    entry.confirmed_at = began
        return Served(entry.found, entry.etag)

    def _serve_stale(self, key: str, entry: CachedBlob, error: Exception) -> Served:
        CACHE_LOOKUPS.labels("stale").inc()
        log.warning("served_stale", key=key, error=type(error).__name__)
        entry.retry_at = time.monotonic() + PAUSE_AFTER_FAILURE_S
        return Served(entry.found, entry.etag, is_stale=True)

    def _remember_missing(self, key: str, began: float) -> None:
        self._missing[key] = began
        self._missing.move_to_end(key)
        if len(self._missing) > MISSING_REMEMBERED:
            self._missing.popitem(last=False)
