"""SQL of the pages that list all packages.

Packages are numbered in the order of their creation, 100 a page, so that a new one changes the last page.
Private packages have no listing and no number; otherwise gaps in the pages would tell how many there are.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from indexer.listed import Listed

PER_PAGE = 100

_RANKED = """
    ranked AS (
        SELECT p.id, p.name, (row_number() OVER (ORDER BY p.created_at, p.name) - 1) / :per_page + 1 AS page
        FROM packages p JOIN package_listings l ON l.package_id = p.id
    )
"""
_LISTED = """
    SELECT r.page, r.name, l.latest_version, l.description, l.is_official
    FROM ranked r JOIN index_state s ON s.package_id = r.id AND s.published_generation > 0
    JOIN package_listings l ON l.package_id = r.id
"""
_CHANGED = text(
    f"""
    WITH {_RANKED}, wanted AS (
        SELECT page FROM ranked WHERE name = ANY(CAST(:names AS text[]))
        UNION SELECT max(page) - 1 FROM ranked UNION SELECT max(page) FROM ranked
    )
    {_LISTED} WHERE r.page IN (SELECT page FROM wanted) ORDER BY r.page, r.name
    """  # noqa: S608 - constants of this module
)
_LAST = text(f"WITH {_RANKED} SELECT COALESCE(max(page), 0) FROM ranked")  # noqa: S608 - as above


async def changed_pages(tx: AsyncConnection, names: Sequence[str]) -> list[Listed]:
    """The packages of the pages that list one of these, and of the last two. It numbers all packages."""
    rows = await tx.execute(_CHANGED, {"names": list(names), "per_page": PER_PAGE})
    return [Listed(**row) for row in rows.mappings()]


async def last_page(tx: AsyncConnection) -> int:
    """The number of the last page; 0 without packages."""
    return int((await tx.execute(_LAST, {"per_page": PER_PAGE})).scalar_one())
