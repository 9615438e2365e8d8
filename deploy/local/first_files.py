"""What readers may ask for as soon as somebody listens, before the worker has had its first turn."""

from __future__ import annotations

import structlog

from indexer import queries_tree
from indexer.catalog_publication import publish_catalog
from indexer.publication import Parts, publish_config
from shared.blobs import CATALOG_KEY
from shared.errors import RegistryError
from shared.settings import Settings
from worker.settings import open_parts

log = structlog.get_logger()


async def ensure_first_files(settings: Settings) -> None:
    """Write config.json for these settings, and a new registry's empty catalog.

    Without storage nothing is written, and the worker does it once storage is there.
    """
    async with open_parts(settings) as parts:
        try:
            await publish_config(parts)
            if await parts.storage.head(CATALOG_KEY) is None and not await _has_packages(parts):
                await publish_catalog(parts)
        except RegistryError as error:
            log.warning("first_files_not_written", code=error.code, reason=error.message)


async def _has_packages(parts: Parts) -> bool:
    """True for an adopted registry, whose catalog is not empty: the worker builds it."""
    async with parts.database.transaction() as tx:
        return await queries_tree.count_packages(tx) > 0
