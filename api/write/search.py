"""Searches published packages by name, with the rows that the worker writes when it publishes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from api.write.queries.search import FoundPage, Search, find_pages
from api.write.query_params import Page
from api.write.search_totals import KeptTotals
from shared.batching import Batcher, together_or_apart
from shared.database import Database
from shared.text import lower_ascii

# A slow search delays those in its batch, so batches are small. Several are under way, each on a connection.
A_BATCH: Final = 8
BATCHES: Final = 4


class Searches:
    """Answers searches; those that arrive while others are under way share a statement."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._totals = KeptTotals()
        self._asked: Batcher[Search, FoundPage] = Batcher(self._apart, largest=A_BATCH, at_once=BATCHES)

    async def find(self, q: str, page: Page, *, scale_tested: bool) -> FoundPage:
        """Packages whose name contains the text literally, in any case; all packages for an empty text.

        Names that differ from the text only in `-`, `_` and blanks are found, too. scale_tested: limits the
        search to packages whose latest version has scale evidence.
        """
        text = lower_ascii(q)
        known = self._totals.get(text, scale_tested=scale_tested)
        found = await self._asked.submit(Search(text, page, scale_tested, known))
        self._totals.keep(found.change, text, scale_tested=scale_tested, total=found.total)
        return found

    async def close(self) -> None:
        """Wait for searches that are in progress."""
        await self._asked.close()

    async def _apart(self, searches: Sequence[Search]) -> Sequence[FoundPage | Exception]:
        return await together_or_apart(self._find, searches)

    async def _find(self, searches: Sequence[Search]) -> Sequence[FoundPage | Exception]:
        async with self._database.driver() as connection:
            return await find_pages(connection, searches)
