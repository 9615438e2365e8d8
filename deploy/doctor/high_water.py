"""Checks that the database is not older than the published tree, as after a restore or behind a standby."""

from __future__ import annotations

from functools import partial
from typing import Final

from deploy.doctor import queries
from deploy.doctor.finding import Finding, failed, off, ok
from deploy.migrations.revision import newest_revision
from indexer.queries import catalog
from shared.database import Database
from shared.errors import DatabaseBehind
from shared.high_water import HighWater
from shared.settings import Settings
from shared.storage.opening import open_storage

CHECK: Final = "database against storage"
MEND: Final = "fix the database and storage first"
GO_ON: Final = (
    "run `x07-registry rebuild-from-tree`: it restores rows from storage, and prints the differences that "
    "are in doubt; servers may run meanwhile, and continue by themselves afterwards (docs/backup.md)"
)


async def examine_high_water(settings: Settings) -> list[Finding]:
    """One finding. Before the first migration there is nothing to compare, as no worker has published."""
    database, storage = Database(settings), await open_storage(settings)
    try:
        async with database.transaction() as tx:
            revision = await queries.revision(tx, database.schema)
        if revision is None or revision < newest_revision():
            return [off(CHECK, "not compared before `x07-registry migrate`")]
        await HighWater(storage, partial(catalog.last_generation, database)).check()
    except DatabaseBehind as error:
        return [failed(CHECK, error.message, GO_ON)]
    finally:
        await storage.close()
        await database.close()
    return [ok(CHECK, "the database knows of the last catalog")]
