"""SQL of search: matches names in the narrow table `search_names`, then joins the columns of one page.

No statement reads every name to count or to rank. A trigger keeps the totals for texts of one or two
characters; longer texts are found by trigrams; a page for a frequent text is the start of an ordered index.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Final

from sqlalchemy import TextClause, text
from sqlalchemy.ext.asyncio import AsyncConnection

from api.write.queries.like import containing
from api.write.queries.listed import DESCRIPTION, FACETS
from api.write.query_params import Page

GRAM_CHARS: Final = 2
FEW: Final = 1000
AFTER_ANY_NAME: Final = "\U0010ffff"


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


_HIT = f"l.name, latest_version, is_official, {DESCRIPTION}, modules_count, {FACETS}"


async def plan_for_values(tx: AsyncConnection) -> None:
    """Have Postgres plan this transaction's statements for their values, which decide the best plan."""
    await tx.execute(text("SELECT set_config('plan_cache_mode', 'force_custom_plan', true)"))


async def kept_total(tx: AsyncConnection, gram: str, *, scale_tested: bool) -> int:
    """The number of names that contain a text of at most GRAM_CHARS characters.

    scale_tested: only packages whose latest version is scale-tested, here and in the functions below. Served
    by search_totals_pkey and search_total_changes_gram_idx, which seldom has a row to add.
    """
    column = "scale_tested" if scale_tested else "packages"
    statement = text(
        f"""
        SELECT COALESCE((SELECT {column} FROM search_totals WHERE gram = :gram), 0)
             + COALESCE((SELECT sum({column}) FROM search_total_changes WHERE gram = :gram), 0)
        """  # noqa: S608 - of two words
    )
    return int((await tx.execute(statement, {"gram": gram})).scalar_one())


async def last_change(tx: AsyncConnection) -> int:
    """The number of the latest change to search_names; 0 before the first one. Same indexes as kept_total."""
    statement = text(
        """
        SELECT COALESCE((SELECT change FROM search_totals WHERE gram = ''), 0)
             + (SELECT count(*) FROM search_total_changes WHERE gram = '')
        """
    )
    return int((await tx.execute(statement)).scalar_one())


async def count_names(tx: AsyncConnection, q: str, *, scale_tested: bool) -> int:
    """The number of names that contain a longer text (search_names_trigrams_idx)."""
    statement = text(
        f"SELECT count(*) FROM search_names WHERE name LIKE :pattern {_tested(scale_tested)}"  # noqa: S608
    )
    return int((await tx.execute(statement, {"pattern": containing(q)})).scalar_one())


async def page_of_names(
    tx: AsyncConnection, q: str, page: Page, *, scale_tested: bool, total: int
) -> list[Hit]:
    """A page of the packages whose names contain the text, best first. total: of all pages.

    The name itself comes first, then names that begin with the text, then the rest. Among those, shorter
    names come first: they contain the same trigrams and fewer others. Names of one length are in byte order.
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
    """Every name in byte order (search_names_pkey, or search_names_tested_idx)."""
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
    """Names by rank. Names with the text in the middle are read only if the page reaches them.

    Names that begin with the text: search_names_pkey, or the order of search_names_rank_idx. The others: the
    same order if they are frequent, else search_names_trigrams_idx, or search_names_grams_idx for one or two
    characters.
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
