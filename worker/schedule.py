"""What runs without being asked: the sweep for dirty packages, the debounced catalog, the expiry, the
collection of staged bytes.

None needs Redis: with it gone, every change is still published within one sweep.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any, TypeVar

import structlog

from indexer import queries
from indexer.catalog_publication import publish_catalog
from indexer.collection import collect_all
from indexer.metrics import PUBLICATION_FAILURES
from indexer.publication import Parts, publish_config, publish_packages, put_doubtful_again
from shared.batching import A_MOMENT_S, Batcher
from shared.errors import RegistryError
from shared.expiry import remove_expired
from shared.names import PackageName
from shared.tracing import Carrier, span, traced

PACKAGES_A_BATCH = 32
FINISH_S = 5.0
EXPIRY_S = 600.0
COLLECTION_S = 3600.0
LAST_BATCHES_S = 1.0
# A change that just misses a build waits for its rest, a pause and the next build; in all less than 10 s.
CATALOG_WITHIN_S = 8.0
PAUSE_FACTOR = 4.0

T = TypeVar("T")

log = structlog.get_logger()


class Schedule:
    """The worker's own loops; run() ends only when it is cancelled."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._catalog_changed = asyncio.Event()
        self._catalog_pause_s = parts.settings.catalog_debounce_seconds
        self._packages: Batcher[PackageName, int | None] = Batcher(
            self._publish_batch, largest=PACKAGES_A_BATCH, linger_s=A_MOMENT_S
        )

    @traced("publication")
    async def publish(self, name: PackageName) -> int | None:
        """publish_package, in one batch with others that come at the same time; the catalog follows."""
        return await self._packages.submit(name)

    async def close(self) -> None:
        """Let batches end that somebody asked for; what is left over is the next sweep's."""
        await self._packages.close(LAST_BATCHES_S)

    async def _publish_batch(self, names: Sequence[PackageName]) -> Sequence[int | Exception | None]:
        unique = list(dict.fromkeys(names))
        outcomes = dict(zip(unique, await publish_packages(self._parts, unique), strict=True))
        self._catalog_changed.set()
        return [outcomes[name] for name in names]

    async def run(self) -> None:
        """Sweep, rebuild, remove what expired and what was left behind, for ever."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._for_ever("sweep", self._sweep_once, self._parts.settings.sweep_seconds))
            group.create_task(self._for_ever("catalog", self._rebuild_catalog, 0))
            group.create_task(self._for_ever("expiry", self._remove_expired, EXPIRY_S))
            group.create_task(self._for_ever("collection", self._collect, COLLECTION_S))

    async def _for_ever(self, name: str, turn: Callable[[], Awaitable[None]], pause_s: float) -> None:
        """Take turns; one that fails is told, and is no reason not to take the next."""
        while True:
            try:
                await turn()
            except RegistryError as error:
                log.warning(f"{name}_failed", code=error.code, reason=error.message)
            except Exception:
                log.exception(f"{name}_crashed")  # a defect of ours must not end the other loops
            await asyncio.sleep(pause_s)

    async def _rebuild_catalog(self) -> None:
        await self._catalog_changed.wait()
        await asyncio.sleep(self._catalog_pause_s)
        self._catalog_changed.clear()
        begun = time.monotonic()
        if not await finished(publish_catalog(self._parts)):
            self._catalog_changed.set()
        debounce_s = self._parts.settings.catalog_debounce_seconds
        self._catalog_pause_s = pause_after_build(time.monotonic() - begun, debounce_s)

    async def _collect(self) -> None:
        await collect_all(self._parts)

    async def _remove_expired(self) -> None:
        async with self._parts.database.transaction() as tx:
            sessions, attempts = await remove_expired(tx)
        log.info("expired_removed", sessions=sessions, sign_in_attempts=attempts)

    async def _sweep_once(self) -> None:
        try:
            await finished(self._publish_all())
        finally:
            self._catalog_changed.set()

    async def _publish_all(self) -> None:
        await publish_config(self._parts)
        await put_doubtful_again(self._parts)
        await self.sweep()

    async def sweep(self) -> int:
        """Publish every dirty package, a page of names at a time; how many were published."""
        published, after = 0, ""
        while page := await self._page(after):
            results = await asyncio.gather(*map(self.try_publish, page))
            published += sum(results)
            after = page[-1]
        return published

    async def _page(self, after: str) -> list[PackageName]:
        async with self._parts.database.transaction() as tx:
            return list(await queries.dirty_packages(tx, after))

    async def try_publish(self, name: PackageName, trace: Carrier | None = None) -> bool:
        """Publish a package; a failure is logged and left for the next sweep, so that the others go on.

        True: it is published. trace: of the change behind it.
        """
        try:
            with span("publish_package", trace, package=name):
                await self.publish(name)
        except RegistryError as error:
            PUBLICATION_FAILURES.labels(error.code).inc()
            log.error("publication_failed", package=name, code=error.code, reason=error.message)
            return False
        except Exception:
            log.exception("publication_crashed", package=name)
            return False
        return True


def pause_after_build(build_s: float, debounce_s: float) -> float:
    """How long changes are collected before the catalog is built again, given what a build takes.

    So long that a worker builds for a fifth of its time, however many publishes arrive; but no longer
    than lets the catalog follow in time.
    """
    return max(debounce_s, min(PAUSE_FACTOR * build_s, CATALOG_WITHIN_S - 2 * build_s))


async def finished(work: Coroutine[Any, Any, T]) -> T:
    """The work's result; when cancelled, only after the work had its time to finish.

    A publication that is cut off is done again, but one that ends in order holds nobody up.
    """
    task = asyncio.create_task(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait({task}, timeout=FINISH_S)
        task.cancel()
        raise
