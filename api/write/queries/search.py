"""SQL of search. Names are matched in `search_names`, which is narrow; what a page shows is looked up.

No statement reads every name to count or to rank: totals of up to two characters are kept by a trigger,
three and more go by trigrams, and a page of a frequent text is the beginning of an ordered index.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Final

from sqlalchemy import TextClause, text
from sqlalchemy.ext.asyncio import AsyncConnection

from api.write.paging import Page
from api.write.queries.like import containing

GRAM_CHARS: Final = 2
FEW: Final = 1000
AFTER_ANY_NAME: Final = "\U0010ffff"


@dataclass(frozen=True, slots=True)
class Hit:
    """A package that was found. modules_count, facets: of the latest version; 0 and none without one."""

    name: str
    latest_version: str | None
    is_official: bool
    description: str | None
    modules_count: int
    facets: Sequence[str]


_HIT = "l.name, l.latest_version, l.is_official, l.description, l.modules_count, l.facets"


async def plan_for_values(tx: AsyncConnection) -> None:
    """Plan this transaction's statements for their values: how many names hold a text decides all."""
    await tx.execute(text("SELECT set_config('plan_cache_mode', 'force_custom_plan', true)"))


async def kept_total(tx: AsyncConnection, gram: str, *, scale_tested: bool) -> int:
    """How many names contain a text of at most GRAM_CHARS characters (search_totals_pkey).

    scale_tested: only packages whose latest version is; so below.
    """
    column = "scale_tested" if scale_tested else "packages"
    statement = text(f"SELECT {column} FROM search_totals WHERE gram = :gram")  # noqa: S608 - of two words
    return int((await tx.execute(statement, {"gram": gram})).scalar_one_or_none() or 0)


async def last_change(tx: AsyncConnection) -> int:
    """The number of the latest change of the names or their marks; 0 before any (search_totals_pkey)."""
    statement = text("SELECT change FROM search_totals WHERE gram = ''")
    return int((await tx.execute(statement)).scalar_one_or_none() or 0)


async def count_names(tx: AsyncConnection, q: str, *, scale_tested: bool) -> int:
    """How many names contain a longer text (search_names_trigrams_idx)."""
    statement = text(
        f"SELECT count(*) FROM search_names WHERE name LIKE :pattern {_tested(scale_tested)}"  # noqa: S608
    )
    return int((await tx.execute(statement, {"pattern": containing(q)})).scalar_one())


async def page_of_names(
    tx: AsyncConnection, q: str, page: Page, *, scale_tested: bool, total: int
) -> list[Hit]:
    """A page of the packages whose names contain the text, best first. total: of all pages.

    Names that begin with it come first, the name itself before all. Of two names the shorter is the more
    similar: both hold every trigram of the text, and it has fewer others. Then by bytes.
    """
    values = {"limit": page.limit, "offset": page.offset}
    if not q:
        return await _hits(tx, _alphabetical(scale_tested), values)
    by_grams = len(q) <= GRAM_CHARS and total <= FEW
    matched = {"q": q, "after": q + AFTER_ANY_NAME, "pattern": containing(q), "reach": page.end}
    grams = {"gram": q} if by_grams else {}
    return await _hits(tx, _ranked(scale_tested, by_grams), {**values, **matched, **grams})


async def _hits(tx: AsyncConnection, statement: TextClause, values: Mapping[str, object]) -> list[Hit]:
    return [Hit(**row._mapping) for row in await tx.execute(statement, values)]


@cache
def _alphabetical(scale_tested: bool) -> TextClause:
    """Every name by bytes (search_names_pkey, or search_names_tested_idx)."""
    return text(
        f"""
        SELECT {_HIT}
        FROM (SELECT name FROM search_names WHERE true {_tested(scale_tested)}
              ORDER BY name LIMIT :limit OFFSET :offset) found
        JOIN package_listings l ON l.name = found.name
        ORDER BY l.name
        """  # noqa: S608 - no value is in the text
    )


@cache
def _ranked(scale_tested: bool, by_grams: bool) -> TextClause:
    """Names by rank. Those inside which the text stands are read only if the page reaches them.

    Beginnings: search_names_pkey, or the order of search_names_rank_idx. Insides: the same order if they
    are frequent, else search_names_trigrams_idx, or search_names_grams_idx for one or two characters.
    """
    tested = _tested(scale_tested)
    grams = "AND short_grams(name) @> ARRAY[CAST(:gram AS text)]" if by_grams else ""
    return text(
        f"""
        WITH beginning AS MATERIALIZED (
            SELECT name FROM search_names
            WHERE name >= :q AND name < :after {tested}
            ORDER BY octet_length(name), name LIMIT :reach
        ), inside AS MATERIALIZED (
            SELECT name FROM search_names
            WHERE name LIKE :pattern AND NOT (name >= :q AND name < :after) {tested} {grams}
            ORDER BY octet_length(name), name LIMIT :reach - (SELECT count(*) FROM beginning)
        ), found AS (
            SELECT name, tier
            FROM (SELECT name, 1 AS tier FROM beginning UNION ALL SELECT name, 2 FROM inside) matching
            ORDER BY tier, octet_length(name), name LIMIT :limit OFFSET :offset
        )
        SELECT {_HIT}
        FROM found JOIN package_listings l ON l.name = found.name
        ORDER BY found.tier, octet_length(l.name), l.name
        """  # noqa: S608 - no value is in the text
    )


def _tested(scale_tested: bool) -> str:
    return "AND scale_tested" if scale_tested else ""
