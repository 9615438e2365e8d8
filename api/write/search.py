"""Searches published packages by name, with the rows that the worker writes when it publishes."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy.ext.asyncio import AsyncConnection

from api.write.queries import search as queries
from api.write.queries.search import Hit
from api.write.query_params import Page
from api.write.search_totals import KeptTotals
from api.write.services import Services
from shared.text import lower_ascii


@dataclass(frozen=True, slots=True)
class Found:
    """A page of hits, best first, and the total number of hits, both from one snapshot."""

    total: int
    hits: list[Hit]


async def search(services: Services, q: str, page: Page, *, scale_tested: bool) -> Found:
    """Packages whose name contains the text literally, in any case; all packages for an empty text.

    scale_tested: limits the search to packages whose latest version has scale evidence.
    """
    needle = lower_ascii(q)
    async with services.database.transaction("REPEATABLE READ") as tx:
        await queries.plan_for_values(tx)
        total = await _total(tx, services.search_totals, needle, scale_tested=scale_tested)
        if page.limit == 0 or page.offset >= total:
            return Found(total, [])
        hits = await queries.page_of_names(tx, needle, page, scale_tested=scale_tested, total=total)
    return Found(total, hits)


async def _total(tx: AsyncConnection, kept: KeptTotals, needle: str, *, scale_tested: bool) -> int:
    """How many names contain the text, in the transaction's snapshot."""
    if len(needle) <= queries.GRAM_CHARS:
        return await queries.kept_total(tx, needle, scale_tested=scale_tested)
    change = await queries.last_change(tx)
    total = kept.get(change, needle, scale_tested=scale_tested)
    if total is None:
        total = await queries.count_names(tx, needle, scale_tested=scale_tested)
        kept.keep(change, needle, scale_tested=scale_tested, total=total)
    return total
