"""Reindexing: every file of packages is written again, and what search and dependents say of them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Final

from indexer import queries, queries_tree
from indexer.catalog_publication import publish_catalog
from indexer.publication import Parts, publish_config, publish_packages
from indexer.walk import Progress, pages
from shared.errors import RegistryError

PACKAGES_A_PAGE: Final = 100
PACKAGES_AT_ONCE: Final = 16


@dataclass(frozen=True, slots=True)
class Failed:
    """A package that could not be written. reason: for people."""

    package: str
    reason: str


async def reindex(parts: Parts, names: Sequence[str], progress: Progress) -> AsyncIterator[Failed]:
    """Write the named packages, or all when none is named; then the configuration and the catalog.

    Yields what failed: its generation stays raised, so the worker's sweep tries it again. Needs no worker
    and may run beside any number. Raises StorageUnavailable, DatabaseUnavailable.
    """
    await publish_config(parts)
    async for page in _pages(parts, names, progress):
        async with parts.database.transaction() as tx:
            known = await queries_tree.packages_among(tx, page)
            await queries.put_again(tx, known)
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
        progress.begin("packages", await queries_tree.count_packages(tx))
    after = ""
    while True:
        async with parts.database.transaction() as tx:
            page = list(await queries_tree.names_behind(tx, after, PACKAGES_A_PAGE))
        if not page:
            return
        yield list(page)
        after = page[-1]
