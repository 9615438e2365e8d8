"""The dependencies of the indexer: settings, database, storage and messages."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial

from indexer.archive_sizes import ArchiveSizes
from indexer.kept_blocks import KeptBlocks
from indexer.known_pages import KnownPages
from indexer.queries import catalog
from indexer.recent_publications import RecentPublications
from indexer.version_memory import VersionMemory
from shared.database import Database
from shared.high_water import HighWater
from shared.messages import Notifier
from shared.settings import Settings
from shared.statements import Driver
from shared.storage.interface import Storage


@dataclass(frozen=True, slots=True)
class Parts:
    """The dependencies of publication; a worker process has one set.

    high_water: tells whether the database is as new as storage. in_doubt: packages whose publication failed
    while it put files. recent: packages published lately, whose files are checked again; None except on S3.
    archive_sizes: of published archives. versions: remembered of packages with many. pages: of versions that
    are remembered. blocks: of large index files.
    """

    settings: Settings
    database: Database
    storage: Storage
    notifier: Notifier
    high_water: HighWater
    in_doubt: set[str] = field(default_factory=set)
    recent: RecentPublications | None = None
    archive_sizes: ArchiveSizes = field(default_factory=ArchiveSizes)
    versions: VersionMemory = field(default_factory=VersionMemory)
    pages: KnownPages = field(default_factory=KnownPages)
    blocks: KeptBlocks = field(default_factory=KeptBlocks)

    @asynccontextmanager
    async def putting(self) -> AsyncIterator[tuple[Driver, set[str]]]:
        """A transaction that puts files, and a set for the names of the packages whose files it puts.

        If anything fails, even the commit, these packages are in doubt.
        """
        begun: set[str] = set()
        try:
            async with self.database.driver_transaction() as tx:
                yield tx, begun
        except BaseException:
            self.in_doubt.update(begun)
            raise


def make_parts(settings: Settings, database: Database, storage: Storage, notifier: Notifier) -> Parts:
    """Parts of these dependencies. The caller closes them."""
    high_water = HighWater(storage, partial(catalog.last_generation, database))
    recent = RecentPublications() if settings.storage == "s3" else None
    return Parts(settings, database, storage, notifier, high_water, recent=recent)
