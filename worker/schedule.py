"""Runs what a worker does without Redis: the sweep for dirty packages, the catalog, the transparency log and
healing. While Redis is away, every change is still published within one sweep.

Expiry, garbage collection and the scrub may wait for Redis: jobs.py says when they are due.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Final
from uuid import UUID

import structlog

from indexer.access_publication import publish_access
from indexer.config_publication import publish_config
from indexer.log.sequencer import Sequencer
from indexer.log.witnesses import Asking
from indexer.metrics import PUBLICATION_FAILURES
from indexer.pages.status import STATUS_EVERY, publish_status
from indexer.parts import Parts
from indexer.private_publication import PrivatePublication
from indexer.publication import publish_packages, put_doubtful_again
from indexer.purging.purger import Purger
from indexer.queries import packages
from indexer.queries.expiry import remove_expired
from indexer.queries.packages import DirtyPackage
from indexer.queries.sessions import end_paused
from indexer.queries.webhooks import remove_old
from indexer.upkeep.healing import TURN_S, Healing
from indexer.upkeep.scrub import Scrub
from indexer.upkeep.staging_gc import collect_all
from indexer.webhooks.delivery import Deliveries
from shared.access import access_interval_s
from shared.batching import COMPANY_WAIT_S, Batcher
from shared.busy import Turns, until_free
from shared.concurrency import finished, raise_if_cancelled
from shared.errors import Internal, PackageBusy, RegistryError
from shared.names import PackageName
from shared.postgres_connections import idle_limit_s
from shared.settings import Settings
from shared.tracing import Carrier, span, traced
from worker.catalog_debounce import CatalogDebounce
from worker.page_debounce import PageDebounce

PACKAGES_PER_BATCH = 32
# Batches that are under way at once: each waits for storage, and holds a connection to Postgres meanwhile. A
# directory makes one faster than several.
BATCHES_ON_S3 = 5
LOG_PAUSE_S = 0.5
LOG_RETRY_S = 2.0
LAST_BATCHES_S = 1.0
EVENTS_KEPT_DAYS: Final = 30
BEFORE_ANY_ID: Final = UUID(int=0)

log = structlog.get_logger()


class Schedule:
    """The worker's periodic work. run() ends only when it is cancelled."""

    def __init__(
        self,
        parts: Parts,
        sequencer: Sequencer | None = None,
        witnesses: Sequence[Asking] = (),
        deliveries: Deliveries | None = None,
        purger: Purger | None = None,
    ) -> None:
        """sequencer: of the transparency log; None if there is no log or another process lets it grow.

        deliveries: to webhooks; purger: of the edge. None if another process does this, or nobody has to.
        """
        self._parts = parts
        self.settings = settings = parts.settings
        self.catalog = CatalogDebounce(parts)
        self._pages = PageDebounce(parts)
        self._sequencer = sequencer
        self._witnesses = witnesses
        self._asked_size: int | None = None
        self._deliveries = deliveries
        self._purger = purger
        self._healing = Healing(parts)
        self._private = PrivatePublication(parts)
        self._scrub = Scrub(parts, bytes_per_s) if (bytes_per_s := settings.scrub_bytes_per_second) else None
        self._running: dict[str, asyncio.Task[None]] = {}
        self._busy: dict[PackageName, asyncio.Task[None]] = {}
        self._turns = Turns()
        self._packages: Batcher[PackageName, int | None] = Batcher(
            self._publish_batch,
            largest=PACKAGES_PER_BATCH,
            at_once=_batches_at_once(settings),
            linger_s=COMPANY_WAIT_S,
        )

    @traced("publication")
    async def publish(self, name: PackageName) -> int | None:
        """Publish a package, in one batch with others asked for at the same time; the catalog follows.

        A package is in one batch at a time. Raises PackageBusy if another process holds the package.
        """
        async with self._turns.of(name):
            return await self._packages.submit(name)

    async def close(self) -> None:
        """Finish the batches that are under way; the next sweep publishes what is left."""
        begun = [*self._busy.values(), *self._running.values()]
        for task in begun:
            task.cancel()
        await asyncio.gather(*begun, return_exceptions=True)
        await self._packages.close(LAST_BATCHES_S)

    async def _publish_batch(self, names: Sequence[PackageName]) -> Sequence[int | Exception | None]:
        unique = list(dict.fromkeys(names))
        outcomes = dict(zip(unique, await publish_packages(self._parts, unique), strict=True))
        self.catalog.note_change()
        self._pages.note_change()
        return [outcomes[name] for name in names]

    async def run(self) -> None:
        """Run every loop until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._for_ever("sweep", self._sweep_once, self.settings.sweep_seconds))
            group.create_task(self._for_ever("sessions", self._end_paused, self.settings.sweep_seconds))
            group.create_task(self._for_ever("catalog", self.catalog.turn, 0))
            group.create_task(
                self._for_ever("catalog", self.catalog.build_if_due, self.settings.sweep_seconds)
            )
            if self.settings.has_pages:
                group.create_task(self._for_ever("pages", self._pages.turn, 0))
                group.create_task(self._for_ever("status", self._write_status, STATUS_EVERY.total_seconds()))
            group.create_task(self._for_ever("healing", self._heal, TURN_S))
            group.create_task(self._for_ever("purges", self._sweep_purges, self.settings.sweep_seconds))
            group.create_task(self._for_ever("webhooks", self.begin_deliveries, self.settings.sweep_seconds))
            if self.settings.has_private_reads:
                access_s = access_interval_s(self.settings.read_ttl_seconds)
                group.create_task(self._for_ever("access", self.publish_access, access_s))
            if self._sequencer is not None:
                group.create_task(
                    self._for_ever("log", partial(self._grow_log, self._sequencer), LOG_PAUSE_S)
                )

    async def _for_ever(self, name: str, turn: Callable[[], Awaitable[None]], pause_s: float) -> None:
        """Take one turn after another. A turn that fails is logged, and the next one follows."""
        while True:
            await _taken(name, turn)
            raise_if_cancelled()
            await asyncio.sleep(pause_s)

    async def _end_paused(self) -> None:
        """End the sessions of processes that were paused in the middle of a statement, with their locks."""
        async with self._parts.database.reading() as connection:
            ended = await end_paused(connection, idle_limit_s(self.settings.database_timeout_seconds))
        if ended:
            log.warning("paused_sessions_ended", count=ended)

    async def _write_status(self) -> None:
        await publish_status(self._parts)

    async def _sweep_purges(self) -> None:
        self.begin_purges()

    async def _grow_log(self, sequencer: Sequencer) -> None:
        """Let the log grow, and have witnesses asked about a checkpoint that this process did not know.

        After a failure, they are asked with the next turn.
        """
        try:
            await finished(sequencer.run())
        except RegistryError:
            await asyncio.sleep(LOG_RETRY_S)
            raise
        if sequencer.published_size != self._asked_size and self._witnesses:
            await self._parts.notifier.ask_witnesses()
            self._asked_size = sequencer.published_size

    async def _heal(self) -> None:
        await self._parts.high_water.require()
        await self._healing.turn()

    def begin_collection(self) -> None:
        """Begin to collect what is left over in staging, unless that is under way."""
        self._begin("collection", self._collect)

    def begin_scrub(self) -> None:
        """Begin to compare archives with their checksums, unless that is under way or turned off."""
        if self._scrub is not None:
            self._begin("scrub", self._scrub.run)

    def begin_asking(self) -> None:
        """Begin to ask each witness, unless it is being asked, so that a slow one delays no job."""
        for asking in self._witnesses:
            self._begin(f"asking {asking.witness.name}", asking.run)

    async def begin_deliveries(self) -> None:
        """Begin to send what is due to each webhook, apart, so that a slow one delays no other.

        Raises DatabaseUnavailable.
        """
        if self._deliveries is not None:
            for hook_id in await self._deliveries.hooks_due():
                self._begin(f"webhook {hook_id}", partial(self._deliveries.deliver, hook_id))

    def begin_purges(self) -> None:
        """Begin to have the edge drop what changed, unless that is under way."""
        if self._purger is not None:
            self._begin("purges", self._purger.turn)

    def _begin(self, name: str, turn: Callable[[], Awaitable[None]]) -> None:
        if name not in self._running:
            self._running[name] = asyncio.create_task(_taken(name, turn))
            self._running[name].add_done_callback(lambda _: self._running.pop(name, None))

    async def _collect(self) -> None:
        await self._parts.high_water.require()  # rows that are missing may ask for what is staged
        await collect_all(self._parts)

    async def remove_expired(self) -> None:
        """Remove sessions, sign-in attempts and old events of webhooks. Raises DatabaseUnavailable."""
        async with self._parts.database.transaction() as tx:
            sessions, attempts = await remove_expired(tx)
            await remove_old(tx, EVENTS_KEPT_DAYS)
        log.info("expired_removed", sessions=sessions, sign_in_attempts=attempts)

    async def _sweep_once(self) -> None:
        await finished(self._publish_all())

    async def _publish_all(self) -> None:
        await publish_config(self._parts)
        await self._parts.high_water.check()
        await put_doubtful_again(self._parts)
        await self.sweep()
        await self._private.turn()

    async def publish_access(self) -> None:
        """Publish which tokens may read, if the registry is private and the list changed."""
        await publish_access(self._parts)

    async def sweep(self) -> int:
        """Publish every dirty package, one page after another. Returns how many were published."""
        published, after = 0, BEFORE_ANY_ID
        while page := await self._page(after):
            failures = await asyncio.gather(*(self.try_publish(package.name) for package in page))
            published += failures.count(None)
            after = page[-1].id
        return published

    async def _page(self, after: UUID) -> Sequence[DirtyPackage]:
        async with self._parts.database.transaction() as tx:
            return await packages.dirty_packages(tx, after)

    async def try_publish(self, name: PackageName, trace: Carrier | None = None) -> Exception | None:
        """Publish a package. A failure is logged, left to the next sweep, and returned.

        A busy one is tried again apart, so that nothing else waits for it. trace: of the change that made the
        package dirty.
        """
        try:
            with span("publish_package", trace, package=name):
                await self.publish(name)
        except PackageBusy as error:
            self._wait_apart(name)
            return error
        except RegistryError as error:
            PUBLICATION_FAILURES.labels(error.code).inc()
            log.error("publication_failed", package=name, code=error.code, reason=error.message)
            return error
        except Exception as error:
            PUBLICATION_FAILURES.labels(Internal.code).inc()
            log.exception("publication_crashed", package=name)
            return error
        return None

    def _wait_apart(self, name: PackageName) -> None:
        """Try again until the package is free, for a while; then it is left for a sweep."""
        if name not in self._busy:
            self._busy[name] = asyncio.create_task(self._publish_when_free(name))
            self._busy[name].add_done_callback(lambda _: self._busy.pop(name, None))

    async def _publish_when_free(self, name: PackageName) -> None:
        try:
            await until_free(lambda: self.publish(name))
        except RegistryError as error:
            log.warning("publication_put_off", package=name, code=error.code, reason=error.message)
        except Exception:
            log.exception("publication_crashed", package=name)


def _batches_at_once(settings: Settings) -> int:
    """How many batches may be under way. Half of the connections are left to everything else."""
    if settings.stores_files:
        return 1
    return max(1, min(BATCHES_ON_S3, settings.database_pool_size // 2))


async def _taken(name: str, turn: Callable[[], Awaitable[None]]) -> None:
    """Take one turn of a periodic work. A failure is logged, and ends nothing else."""
    try:
        await turn()
    except RegistryError as error:
        log.warning(f"{name}_failed", code=error.code, reason=error.message)
    except Exception:
        log.exception(f"{name}_crashed")
