"""SQL of search: a function of the database finds the names of a page, whose packages are joined.

A trigger keeps the totals for texts of one or two characters; longer texts are found by trigrams. At most
1,000 names are ranked. A page for a more frequent text is read from an ordered index, and its total is
counted once until names change (deploy/migrations/versions/0022_search_without_planning.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import msgspec

from api.write.queries.listed import DESCRIPTION, FACETS
from api.write.query_params import Page
from shared.statements import Connection, fetch


class Hit(msgspec.Struct, frozen=True):
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
class Search:
    """What a page is asked for. scale_tested: only packages whose latest version is scale-tested.

    known: a change, and the total that the caller knows for it; -1 if it knows none. asked_at: by the
    monotonic clock, in seconds.
    """

    q: str
    page: Page
    scale_tested: bool
    known: tuple[int, int]
    asked_at: float


@dataclass(frozen=True, slots=True)
class FoundPage:
    """A page of hits, best first. total: of all pages. change: numbers the state of the names."""

    total: int
    change: int
    hits: list[Hit]


_PAGES: Final = f"""
    SELECT asked.number, found.total, found.change,
           l.name, latest_version, is_official, {DESCRIPTION}, modules_count, {FACETS}
    FROM unnest(CAST($1 AS text[]), CAST($2 AS boolean[]), CAST($3 AS bigint[]), CAST($4 AS bigint[]),
                CAST($5 AS bigint[]), CAST($6 AS bigint[]))
         WITH ORDINALITY AS asked (q, scale_tested, size, skipped, known_change, known_total, number)
    CROSS JOIN LATERAL search_page(q, scale_tested, size, skipped, known_change, known_total) found
    LEFT JOIN LATERAL (SELECT * FROM package_listings WHERE name = found.name OFFSET 0) l ON true
    ORDER BY asked.number, found.place
"""  # noqa: S608 - no value is in the text


async def find_pages(connection: Connection, searches: Sequence[Search]) -> list[FoundPage]:
    """A page for each search, of the packages whose names contain its text.

    Names that differ from the text only in `-`, `_` and blanks are found, too. The name itself comes first,
    then names with the same letters and digits, then names that begin with the text, then the rest; among
    those, shorter names come first, and names of one length are in byte order. Without a text, all names are
    in byte order. Served by the indexes of search_names, and by package_listings_name_key.
    """
    columns = zip(
        *((s.q, s.scale_tested, s.page.limit, s.page.offset, *s.known) for s in searches), strict=True
    )
    found: list[FoundPage] = []
    for row in await fetch(connection, _PAGES, *map(list, columns)):
        number, total, change, *package = row.values()
        if number > len(found):
            found.append(FoundPage(total, change, []))
        if package[0] is not None:
            found[-1].hits.append(Hit(*package))
    return found
