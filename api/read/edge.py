"""Answers requests of an edge cache, whose copies many clients see.

An edge marks its requests with `X-X07-Edge: confirmed`. It then gets a file only if storage confirms it. If
storage does not answer, it gets an error instead of a stale copy, because its own copy may be newer than
ours. If the edge has no copy, it asks again with `held`, and gets a stale copy within the usual limit.

`Cache-Control` tells the edge how long to keep the file: `s-maxage` (RFC 9111, 5.2.2.10) for the time without
revalidation, `stale-while-revalidate` and `stale-if-error` (RFC 5861) for the time it may serve its old copy.

Files that change are sent without a length, because nginx then ends the answer only when its copy is stored.
With a length, a client could receive the whole answer, ask again, and get the previous copy.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, Self

from api.read.answer import BlobAnswer
from api.read.freshness import Served
from api.read.routes import BlobRoute
from shared.errors import StorageUnavailable
from shared.settings import Settings

EDGE: Final = b"x-x07-edge"
CONFIRMED: Final = "confirmed"
HELD: Final = "held"
# Archives never change. A version removed for legal reasons stays at an edge for this long, or until a purge.
ARCHIVE_FRESH_S: Final = 7 * 86_400
# Enough time for nginx to read an answer and rename a file, and short for a client that waits.
SETTLES_S: Final = 0.2
MAX_SETTLING: Final = 1024


@dataclass(frozen=True, slots=True)
class EdgeTimes:
    """How long an edge may serve its copy. fresh_s: without asking; stale_s: after that, unconfirmed."""

    fresh_s: int
    stale_s: int

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """The times in the settings."""
        return cls(settings.edge_fresh_seconds, settings.edge_stale_seconds)

    def require_good(self, wish: str | None, route: BlobRoute, served: Served) -> None:
        """Raise StorageUnavailable for a copy that an edge should not get. wish: from edge_wish."""
        if not served.is_stale or route.is_archive or wish is None:
            return
        if wish != HELD or time.monotonic() - served.blob.confirmed_at > self.fresh_s + self.stale_s:
            raise StorageUnavailable("storage cannot confirm the file, try again")

    def tell(self, route: BlobRoute, answer: BlobAnswer) -> BlobAnswer:
        """Append the directives for the edge to those for clients."""
        fresh_s = ARCHIVE_FRESH_S if route.is_archive else self.fresh_s
        directives = (
            f"{route.cache_control}, s-maxage={fresh_s}, "
            f"stale-while-revalidate={self.stale_s}, stale-if-error={self.stale_s}"
        )
        dropped = (b"cache-control",) if route.is_archive else (b"cache-control", b"content-length")
        fields = [(name, value) for name, value in answer.fields if name not in dropped]
        return replace(answer, fields=[*fields, (b"cache-control", directives.encode())])


class EdgeTurns:
    """Spaces out different answers for one file, so that an edge stores one before it receives the next.

    nginx keeps the answer that it stores last. It has several processes: one that is about to store an older
    answer must not replace a newer one that another process has already stored.
    """

    def __init__(self) -> None:
        self._sent: dict[str, tuple[str, float]] = {}

    async def wait(self, key: str, etag: str) -> None:
        """Wait until a different answer has had time to be stored; usually returns at once."""
        if (wait_s := self._left_s(key, etag)) > 0:
            await asyncio.sleep(wait_s)

    def was_sent(self, key: str, etag: str) -> None:
        """Note that this answer is being sent."""
        now = time.monotonic()
        if len(self._sent) >= MAX_SETTLING:
            self._sent = {name: (tag, at) for name, (tag, at) in self._sent.items() if now - at < SETTLES_S}
        self._sent[key] = (etag, now)

    def _left_s(self, key: str, etag: str) -> float:
        tag, at = self._sent.get(key, (etag, 0.0))
        return 0.0 if tag == etag else at + SETTLES_S - time.monotonic()


def edge_wish(request: Mapping[bytes, Sequence[str]]) -> str | None:
    """The value of the edge's header: a confirmed file or a held one; None if the request is a client's."""
    values = request.get(EDGE)
    if values is None:
        return None
    return HELD if values[0] == HELD else CONFIRMED
