"""Writes the files that readers may ask for before the worker's first turn."""

from __future__ import annotations

import structlog

from indexer.catalog_publication import publish_catalog
from indexer.config_publication import publish_config
from indexer.parts import Parts
from indexer.queries import tree
from shared.blobs import CATALOG_KEY
from shared.errors import RegistryError
from shared.settings import Settings
from worker.process import open_parts

log = structlog.get_logger()


async def ensure_first_files(settings: Settings) -> None:
    """Write config.json for these settings, and a new registry's empty catalog.

    If storage is unavailable, nothing is written; the worker does it when storage is back.
    """
    async with open_parts(settings) as parts:
        try:
            await publish_config(parts)
            if await parts.storage.head(CATALOG_KEY) is None and not await _has_packages(parts):
                await publish_catalog(parts)
        except RegistryError as error:
            log.warning("first_files_not_written", code=error.code, reason=error.message)


async def _has_packages(parts: Parts) -> bool:
    """True for a registry that has packages, such as an adopted one; the worker builds its catalog."""
    async with parts.database.transaction() as tx:
        return await tree.count_packages(tx) > 0
