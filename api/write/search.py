"""Searches published packages by name, with the rows that the worker writes when it publishes."""

from __future__ import annotations

from collections.abc import Sequence
from time import monotonic
from typing import Final

from api.write.queries.search import FoundPage, Search, find_pages
from api.write.query_params import Page
from api.write.search_totals import KeptTotals
from shared.batching import Batcher, together_or_apart
from shared.database import POOL_WAIT_S, Database
from shared.errors import DatabaseUnavailable
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
        found = await self._asked.submit(Search(text, page, scale_tested, known, monotonic()))
        self._totals.keep(found.change, text, scale_tested=scale_tested, total=found.total)
        return found

    async def close(self) -> None:
        """Wait for searches that are in progress."""
        await self._asked.close()

    async def _apart(self, searches: Sequence[Search]) -> Sequence[FoundPage | Exception]:
        """The outcome of each. One that has waited for longer than for a connection is refused.

        Otherwise a queue would be left after Postgres has stood still, and nobody waits for its answers.
        """
        oldest = monotonic() - POOL_WAIT_S
        in_time = [search for search in searches if search.asked_at >= oldest]
        found = iter(await together_or_apart(self._find, in_time) if in_time else ())
        return [next(found) if search.asked_at >= oldest else DatabaseUnavailable() for search in searches]

    async def _find(self, searches: Sequence[Search]) -> Sequence[FoundPage | Exception]:
        async with self._database.driver() as connection:
            return await find_pages(connection, searches)
