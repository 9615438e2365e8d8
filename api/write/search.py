"""Searches published packages by name, with the rows that the worker writes when it publishes."""

from __future__ import annotations

from api.write.queries import search as queries
from api.write.queries.search import FoundPage
from api.write.query_params import Page
from api.write.services import Services
from shared.text import lower_ascii


async def search(services: Services, q: str, page: Page, *, scale_tested: bool) -> FoundPage:
    """Packages whose name contains the text literally, in any case; all packages for an empty text.

    Names that differ from the text only in `-`, `_` and blanks are found, too. scale_tested: limits the
    search to packages whose latest version has scale evidence.
    """
    needle, kept = lower_ascii(q), services.search_totals
    known = kept.get(needle, scale_tested=scale_tested)
    async with services.database.reading() as connection:
        found = await queries.find_page(connection, needle, page, scale_tested=scale_tested, known=known)
    kept.keep(found.change, needle, scale_tested=scale_tested, total=found.total)
    return found
