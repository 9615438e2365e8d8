"""Publishes the list of tokens that may read, for readers, which have no database."""

from __future__ import annotations

import hashlib
from typing import Final

from indexer.parts import Parts
from indexer.queries.access import readers
from shared.access import ACCESS_KEY, render_access
from shared.blobs import JSON_TYPE
from shared.errors import StorageUnavailable
from shared.messages import Change
from shared.storage.replacing import replace_blob

TRIES: Final = 5


async def publish_access(parts: Parts) -> None:
    """Write the list of tokens if it changed, and notify readers. Does nothing in a public registry.

    Storage is read first, then the database; the list is put only over the blob that was read, so an older
    list never replaces a newer one.
    """
    if not parts.settings.reads_need_token:
        return
    for attempt in range(TRIES):
        try:
            await _publish(parts)
        except StorageUnavailable:
            if attempt == TRIES - 1:
                raise
        else:
            return


async def _publish(parts: Parts) -> None:
    seen = await parts.storage.head(ACCESS_KEY)
    async with parts.database.transaction() as tx:
        body = render_access(await readers(tx))
    digest = hashlib.sha256(body).hexdigest()
    if seen is not None and seen.digest == digest:
        return
    await replace_blob(parts.storage, ACCESS_KEY, body, seen=seen, content_type=JSON_TYPE, digest=digest)
    await parts.notifier.announce(Change((ACCESS_KEY,)))
