"""Publishes the list of tokens that may read what is private, for readers, which have no database."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping
from typing import Final

from sqlalchemy.ext.asyncio import AsyncConnection

from indexer.parts import Parts
from indexer.queries.access import PrivateReader, private_readers, readers
from shared.access import ACCESS_KEY, Grant, render_access
from shared.blobs import JSON_TYPE
from shared.errors import StorageUnavailable
from shared.messages import Change
from shared.private_names import is_private, within
from shared.settings import Settings
from shared.storage.replacing import replace_blob

TRIES: Final = 5


async def publish_access(parts: Parts) -> None:
    """Write the list of tokens if it changed, and notify readers. Does nothing where nothing is private.

    Storage is read first, then the database; the list is put only over the blob that was read, so an older
    list never replaces a newer one.
    """
    if not parts.settings.has_private_reads:
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
        body = render_access(await _grants(tx, parts.settings))
    digest = hashlib.sha256(body).hexdigest()
    if seen is not None and seen.digest == digest:
        return
    await replace_blob(parts.storage, ACCESS_KEY, body, seen=seen, content_type=JSON_TYPE, digest=digest)
    await parts.notifier.announce(Change((ACCESS_KEY,)))


async def _grants(tx: AsyncConnection, settings: Settings) -> dict[str, Grant]:
    if settings.reads_need_token:
        return {token: Grant(ends) for token, ends in (await readers(tx)).items()}
    namespaces = settings.private_namespaces
    known = await private_readers(tx, {handle for handles in namespaces.values() for handle in handles})
    grants = {each.token_hash: Grant(each.ends, private_rights(each, namespaces)) for each in known}
    return {token: grant for token, grant in grants.items() if grant.private}


def private_rights(reader: PrivateReader, namespaces: Mapping[str, Collection[str]]) -> tuple[str, ...]:
    """The names and patterns of private packages that a token may read. namespaces: readers by pattern."""
    whole = [
        pattern for pattern, handles in namespaces.items() if reader.is_admin or reader.handle in handles
    ]
    owned = [name for name in reader.owned if is_private(name, namespaces) and not is_private(name, whole)]
    return within((*whole, *owned), reader.limits)
