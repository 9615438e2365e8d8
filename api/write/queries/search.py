"""SQL of search: a function of the database finds the names of a page, whose packages are joined.

No statement reads every name to count or to rank. A trigger keeps the totals for texts of one or two
characters; longer texts are found by trigrams; a page for a frequent text is the start of an ordered index
(deploy/migrations/versions/0017_search_in_one_step.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from api.write.queries.listed import DESCRIPTION, FACETS
from api.write.query_params import Page


@dataclass(frozen=True, slots=True)
class Hit:
    """A package that was found. modules_count, facets: of the latest version; 0 and empty without one.

    description: limited in characters as in new manifests, but possibly more bytes.
    """

    name: str
    latest_version: str | None
    is_official: bool
    description: str | None
    modules_count: int
    facets: Sequence[str]


@dataclass(frozen=True, slots=True)
class FoundPage:
    """A page of hits, best first. total: of all pages. change: numbers the state of the names."""

    total: int
    change: int
    hits: list[Hit]


_PAGE: Final = text(
    f"""
    SELECT found.total, found.change,
           l.name, latest_version, is_official, {DESCRIPTION}, modules_count, {FACETS}
    FROM search_page(:q, :scale_tested, :limit, :offset, :known_change, :known_total) found
    LEFT JOIN package_listings l ON l.name = found.name
    ORDER BY found.place
    """  # noqa: S608 - no value is in the text
)


async def find_page(
    connection: AsyncConnection, q: str, page: Page, *, scale_tested: bool, known: tuple[int, int]
) -> FoundPage:
    """A page of the packages whose names contain the text, or differ from it only in `-`, `_` and blanks.

    The name itself comes first, then names with the same letters and digits, then names that begin with the
    text, then the rest; among those, shorter names come first, and names of one length are in byte order.
    Without a text, all names are in byte order. scale_tested: only packages whose latest version is
    scale-tested. known: a change, and the total that the caller knows for it; -1 if it knows none.
    """
    values = {"q": q, "scale_tested": scale_tested, "limit": page.limit, "offset": page.offset}
    change, total = known
    rows = (await connection.execute(_PAGE, {**values, "known_change": change, "known_total": total})).all()
    hits = [Hit(*row[2:]) for row in rows if row.name is not None]
    return FoundPage(rows[0].total, rows[0].change, hits)
