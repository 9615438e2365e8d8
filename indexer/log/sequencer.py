"""The sequencer: adds published lines to the log as entries, and signs the new tree head.

A log must never fork: every head must continue all heads that were signed before. Each step is therefore
durable before the next one begins, and may be repeated with the same result.

1. Waiting lines get their places in Postgres. From then on, a place always holds the same entry. 2. The
bundles and tiles of these places are written where there are none; they depend on step 1 alone. 3. In
Postgres, the new size and root replace those that were read at the beginning. A process that loses this race
stops here. 4. The checkpoint is signed, and replaces the one that was read at the beginning.

If a turn is cut off after step 3, Postgres has a head that storage lacks; the next turn puts it there first.
Any other difference between storage and Postgres means another history, and the turn ends with LogDiverged. A
turn holds an advisory lock, which saves work; correctness does not depend on it.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from typing import Final

import structlog

from indexer.log import filling
from indexer.log.checkpoint import Checkpoint
from indexer.log.files import bundles_of, put_tiles, remove_partial
from indexer.log.note import NoteSigner
from indexer.log.standing import Published, read_published, require_agreement
from indexer.log.tiles import TILE_WIDTH, Edge
from indexer.log.tree import leaf_hash
from indexer.queries import log as rows
from shared.blobs import CHECKPOINT_KEY, CHECKPOINT_TYPE
from shared.database import Database
from shared.errors import DatabaseUnavailable, LogDiverged
from shared.messages import Change, Notifier
from shared.settings import Settings
from shared.statements import Driver
from shared.stop_points import stop_at
from shared.storage.interface import BlobInfo, Storage
from shared.storage.replacing import replace_blob

ENTRIES_PER_TURN: Final = 32 * TILE_WIDTH
# Far more bytes than the entries of a partial tile can have, so that each turn makes progress.
BYTES_PER_TURN: Final = 64 << 20

log = structlog.get_logger()


@dataclass(slots=True)
class Sequencer:
    """Lets the log grow. signer: signs checkpoints; its name is the log's origin."""

    settings: Settings
    database: Database
    storage: Storage
    notifier: Notifier
    signer: NoteSigner
    published_size: int | None = None
    """The size of the last checkpoint that this process saw in storage or put there."""

    @property
    def origin(self) -> str:
        """The log's name."""
        return self.signer.verifier.name

    async def run(self) -> int:
        """Log all waiting lines, one turn after another. Returns the number of entries.

        Returns 0 if another process is letting the log grow. Raises LogDiverged, StorageUnavailable,
        StorageFailed, DatabaseUnavailable.
        """
        total = 0
        while count := await self._locked_turn():
            total += count
        return total

    async def _locked_turn(self) -> int:
        """One turn, if there is work and no other process is at it. An idle log costs one query."""
        async with self.database.driver() as connection:
            work = await rows.log_work(connection)
        if not (work.has_lines or work.is_behind or work.size is None or work.size != self.published_size):
            return 0
        async with self.database.driver_transaction() as lock:
            return await self._turn(lock, work) if await rows.try_log_lock(lock) else 0

    async def _turn(self, lock: Driver, work: rows.LogWork) -> int:
        """One turn. Returns how many entries it signed."""
        published = await self.published()
        state = await rows.log_state(lock)
        is_published = require_agreement(state, published, self.origin)
        if state is None or not state.is_backfilled:
            await filling.backfill(self.database, self.origin, self.settings.private_namespaces)
            state = await self.require_state()
        if not is_published:
            published = await self.publish(state.size, state.root, published)
        self.published_size = state.size
        if work.is_behind or work.size is None:
            settings = self.settings
            await filling.catch_up(self.database, settings.official_handle, settings.private_namespaces)
        return await self._grow(state, published)

    async def published(self) -> Published:
        """The checkpoint in storage. Raises LogDiverged if it is not this log's."""
        return read_published(await self.storage.get(CHECKPOINT_KEY), self.signer.verifier)

    async def _grow(self, state: rows.LogState, published: Published) -> int:
        """Sign a tree with more entries, if lines wait."""
        first = state.size - state.size % TILE_WIDTH
        async with self.database.driver_transaction() as tx:
            await rows.assign(tx, state.size, ENTRIES_PER_TURN)
            count = state.size - first + ENTRIES_PER_TURN
            entries = await rows.entries_from(tx, first, count, BYTES_PER_TURN)
        new = entries[state.size - first :]
        if not new:
            return 0
        stop_at("after_log_places", self.settings.test_stop_at)
        edge, tiles = Edge(state.size, state.levels).grow([leaf_hash(entry) for entry in new])
        await put_tiles(self.storage, [*bundles_of(first, entries), *tiles])
        await self._sign(state, edge, published)
        if state.previous is not None:
            await remove_partial(self.storage, state.previous[0], state.size)
        log.info("log_grew", size=edge.size, entries=len(new))
        return len(new)

    async def _sign(self, state: rows.LogState, edge: Edge, published: Published) -> None:
        """Record the new head, then put its checkpoint."""
        stop_at("after_log_tiles", self.settings.test_stop_at)
        root = edge.root()
        async with self.database.driver_transaction() as tx:
            if not await rows.advance(tx, state, edge.size, root, edge.levels):
                raise DatabaseUnavailable("another process let the log grow at the same time, try again")
        stop_at("after_log_head", self.settings.test_stop_at)
        await self.publish(edge.size, root, published)
        stop_at("after_log_checkpoint", self.settings.test_stop_at)

    async def replace_checkpoint(self, body: bytes, seen: BlobInfo | None) -> None:
        """Put a signed checkpoint in place of the one that was seen, if there was one, and announce it."""
        await replace_blob(
            self.storage,
            CHECKPOINT_KEY,
            body,
            seen=seen,
            content_type=CHECKPOINT_TYPE,
            digest=sha256(body).hexdigest(),
        )
        await self.notifier.announce(Change((CHECKPOINT_KEY,)))

    async def publish(self, size: int, root: bytes, seen: Published) -> Published:
        """Put the checkpoint of the head in Postgres, replacing the one that was seen."""
        head = Checkpoint(self.origin, size, root)
        await self.replace_checkpoint(self.signer.sign(head.text()), seen.info)
        self.published_size = size
        return Published(await self.storage.head(CHECKPOINT_KEY), head)

    async def state(self) -> rows.LogState | None:
        """The tree head in Postgres; None before the log has begun."""
        async with self.database.driver() as connection:
            return await rows.log_state(connection)

    async def require_state(self) -> rows.LogState:
        """The tree head in Postgres. Raises LogDiverged if it is missing, because the log has begun."""
        state = await self.state()
        if state is None:
            raise LogDiverged("the log's row in the database is gone")
        return state

    async def check(self) -> None:
        """Raise LogDiverged if storage and Postgres disagree about the log (for readiness and doctor)."""
        for is_last in (False, True):
            published = await self.published()
            try:
                require_agreement(await self.state(), published, self.origin)
            except LogDiverged:
                if is_last:  # a turn may have ended between the two reads
                    raise
            else:
                return

    async def agrees(self) -> bool:
        """False if storage and Postgres disagree about the log."""
        try:
            await self.check()
        except LogDiverged:
            return False
        return True


def open_sequencer(
    settings: Settings, database: Database, storage: Storage, notifier: Notifier
) -> Sequencer | None:
    """The sequencer of this registry; None when it has no log."""
    key = settings.log_key()
    if key is None:
        return None
    return Sequencer(settings, database, storage, notifier, NoteSigner(key.origin, key.seed))
