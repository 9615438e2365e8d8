"""Notes what an edge has to drop, with the change or before it, so that no crash leaves an old copy there."""

from __future__ import annotations

from collections.abc import Iterable

from indexer.queries import purges
from shared.database import Database
from shared.settings import Settings
from shared.statements import Connection
from shared.surrogate_keys import surrogate_key_of


async def want_purge(tx: Connection, settings: Settings, keys: Iterable[str]) -> None:
    """Have the edge drop these blobs once the transaction is committed, if there is an edge to ask."""
    if settings.purges and (found := {surrogate_key_of(key) for key in keys}):
        await purges.want(tx, sorted(found))


async def want_purge_of(database: Database, settings: Settings, key: str) -> None:
    """The same for a blob that is about to be put without a transaction.

    Call it before the put. If that comes after the first purge, the second one follows it.
    """
    if settings.purges:
        async with database.transaction() as tx:
            await want_purge(tx, settings, [key])
