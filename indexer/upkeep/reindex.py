"""Reindexes packages: writes all of their files again, and their rows for search and dependents."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Final

from indexer.catalog_publication import publish_catalog
from indexer.config_publication import publish_config
from indexer.parts import Parts
from indexer.publication import publish_package, publish_packages
from indexer.queries import packages, tree
from indexer.upkeep.progress import Progress, pages
from shared.errors import PackageBusy, RegistryError
from shared.names import PackageName

PACKAGES_PER_PAGE: Final = 100
PACKAGES_AT_ONCE: Final = 16


@dataclass(frozen=True, slots=True)
class Failed:
    """A package that could not be written. reason: text for people."""

    package: str
    reason: str


@dataclass(slots=True)
class Reindexing:
    """One run. written_to: packages up to this name are done, in byte order; empty before the first page.

    is_complete: everything is done.
    """

    parts: Parts
    progress: Progress
    written_to: str = ""
    is_complete: bool = False

    async def run(self, names: Sequence[str] = (), after: str = "") -> AsyncIterator[Failed]:
        """Write the named packages, or all after a name if none is named; also config.json and the catalog.

        Yields the failures. Their generations stay raised, so the sweep of a worker tries them again. No
        worker is needed, and any number may run meanwhile. Raises StorageUnavailable, DatabaseUnavailable.
        """
        await publish_config(self.parts)
        async for page in self._named(names) if names else self._all(after):
            async for failed in self._written(page):
                yield failed
        await publish_catalog(self.parts, anew=True)
        self.is_complete = True

    async def _named(self, names: Sequence[str]) -> AsyncIterator[Sequence[str]]:
        self.progress.begin("packages", len(names))
        yield names

    async def _all(self, after: str) -> AsyncIterator[Sequence[str]]:
        async with self.parts.database.transaction() as tx:
            self.progress.begin("packages", await tree.count_packages(tx, after))
        while page := await self._page(after):
            yield page
            self.written_to = after = page[-1]

    async def _page(self, after: str) -> Sequence[str]:
        async with self.parts.database.transaction() as tx:
            return await tree.names_behind(tx, after, PACKAGES_PER_PAGE)

    async def _written(self, page: Sequence[str]) -> AsyncIterator[Failed]:
        """Write a page of packages."""
        async with self.parts.database.transaction() as tx:
            known = await tree.packages_among(tx, page)
            await packages.put_again(tx, known)
        for name in page:
            if name not in known:
                yield Failed(name, "there is no such package")
        for some in pages(known, PACKAGES_AT_ONCE):
            for name, outcome in zip(some, await publish_packages(self.parts, some), strict=True):
                error = await self._error_when_free(name) if isinstance(outcome, PackageBusy) else outcome
                if isinstance(error, RegistryError):
                    yield Failed(name, f"{error.message} ({error.code})")
                elif isinstance(error, Exception):
                    raise error
        self.progress.advance(len(page))

    async def _error_when_free(self, name: PackageName) -> RegistryError | None:
        """Write a package that another process holds, such as a worker that writes it, once it is free."""
        try:
            await publish_package(self.parts, name)
        except RegistryError as error:
            return error
        return None
