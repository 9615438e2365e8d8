"""Publishes what is special about private packages of a public registry.

Each pattern of names has a catalog of its own, for those who may read all of its packages. When patterns are
added or removed, the packages concerned are published again: into the public lists, or out of them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Final

import structlog

from indexer.catalog import join_catalog
from indexer.parts import Parts
from indexer.queries import packages
from indexer.queries import private as rows
from indexer.upkeep.progress import pages
from shared.blobs import JSON_TYPE, private_catalog_key
from shared.messages import Change
from shared.names import PackageName
from shared.private_names import is_private
from shared.storage.replacing import replace_blob

NAMES_AT_ONCE: Final = 1000

log = structlog.get_logger()


class PrivatePublication:
    """What one worker publishes. It remembers what it saw last, so that an idle turn costs one query."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._patterns = parts.settings.private_namespaces
        self._is_settled = False
        self._seen: tuple[int, float] | None = None

    async def turn(self) -> None:
        """Settle which packages are private, once; then write the catalogs if a private package changed.

        Raises StorageUnavailable, DatabaseUnavailable.
        """
        if not self._is_settled:
            await self._settle()
            self._is_settled = True
        if not self._patterns:
            return
        async with self._parts.database.reading() as connection:
            change = await rows.last_private_change(connection)
        if change != self._seen:
            for pattern in self._patterns:
                await self._publish_catalog(pattern)
            self._seen = change

    async def _settle(self) -> None:
        """Make the packages dirty that were published by other patterns than those of the settings."""
        async with self._parts.database.transaction() as tx:
            hidden = [name for name, _ in await rows.private_lines(tx)]
            shown = [name for pattern in self._patterns for name in await rows.published_openly(tx, pattern)]
        now_public = [name for name in hidden if not is_private(name, self._patterns)]
        for some in pages(now_public, NAMES_AT_ONCE):
            async with self._parts.database.transaction() as tx:
                await rows.show(tx, some)
                await packages.raise_generations(tx, some)
        await self._publish_again(shown)
        if shown or now_public:
            log.info("private_packages_changed", now_private=len(shown), now_public=len(now_public))

    async def _publish_again(self, names: Sequence[PackageName]) -> None:
        for some in pages(names, NAMES_AT_ONCE):
            async with self._parts.database.transaction() as tx:
                await packages.raise_generations(tx, some)

    async def _publish_catalog(self, pattern: str) -> None:
        """Write the catalog of a pattern. Storage is read before rows, so no catalog replaces a newer one."""
        key, storage = private_catalog_key(pattern), self._parts.storage
        seen = await storage.head(key)
        async with self._parts.database.transaction() as tx:
            lines = await rows.private_lines(tx)
        body = join_catalog(line for name, line in lines if is_private(name, [pattern]))
        digest = hashlib.sha256(body).hexdigest()
        if seen is None or seen.digest != digest:
            await replace_blob(storage, key, body, seen=seen, content_type=JSON_TYPE, digest=digest)
            await self._parts.notifier.announce(Change((key,)))
