"""Reindexes packages: writes all of their files again, and their rows for search and dependents."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Final

from indexer.catalog_publication import publish_catalog
from indexer.config_publication import publish_config
from indexer.parts import Parts
from indexer.publication import publish_packages
from indexer.queries import packages, tree
from indexer.upkeep.progress import Progress, pages
from shared.errors import RegistryError

PACKAGES_PER_PAGE: Final = 100
PACKAGES_AT_ONCE: Final = 16


@dataclass(frozen=True, slots=True)
class Failed:
    """A package that could not be written. reason: text for people."""

    package: str
    reason: str


async def reindex(parts: Parts, names: Sequence[str], progress: Progress) -> AsyncIterator[Failed]:
    """Write the named packages, or all if none is named, then config.json and the catalog.

    Yields the failures. Their generations stay raised, so the sweep of a worker tries them again. No worker
    is needed, and any number may run meanwhile. Raises StorageUnavailable, DatabaseUnavailable.
    """
    await publish_config(parts)
    async for page in _pages(parts, names, progress):
        async with parts.database.transaction() as tx:
            known = await tree.packages_among(tx, page)
            await packages.put_again(tx, known)
        for name in page:
            if name not in known:
                yield Failed(name, "there is no such package")
        for some in pages(known, PACKAGES_AT_ONCE):
            for name, outcome in zip(some, await publish_packages(parts, some), strict=True):
                if isinstance(outcome, RegistryError):
                    yield Failed(name, f"{outcome.message} ({outcome.code})")
                elif isinstance(outcome, Exception):
                    raise outcome
        progress.advance(len(page))
    await publish_catalog(parts, anew=True)


async def _pages(parts: Parts, names: Sequence[str], progress: Progress) -> AsyncIterator[list[str]]:
    if names:
        progress.begin("packages", len(names))
        yield list(names)
        return
    async with parts.database.transaction() as tx:
        progress.begin("packages", await tree.count_packages(tx))
    after = ""
    while True:
        async with parts.database.transaction() as tx:
            page = list(await tree.names_behind(tx, after, PACKAGES_PER_PAGE))
        if not page:
            return
        yield list(page)
        after = page[-1]
