"""SQL on the requirements of latest versions (package_requirements_pkey serves every function)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from api.write.query_params import Page
from shared.names import PackageName
from shared.statements import Connection, fetch


@dataclass(frozen=True, slots=True)
class Dependent:
    """A package whose latest version requires another. requirement: a version or a range, as written."""

    package: str
    version: str
    requirement: str


_PAGE = text(
    """
    WITH page AS (
        SELECT name, requirement FROM package_requirements WHERE required = :required
        ORDER BY name, requirement LIMIT :limit OFFSET :offset
    )
    SELECT counted.total, l.name, l.latest_version, page.requirement
    FROM (SELECT count(*) AS total FROM package_requirements WHERE required = :required) counted
    LEFT JOIN (page JOIN package_listings l USING (name)) ON true
    ORDER BY l.name, page.requirement
    """
)

_REQUIREMENTS = """
    SELECT DISTINCT requirement FROM package_requirements WHERE required = $1 AND name <> $1 LIMIT $2
"""

_WITH_REQUIREMENT = """
    SELECT l.name, l.latest_version, r.requirement
    FROM (SELECT name, requirement FROM package_requirements
          WHERE required = $1 AND name <> $1 AND requirement = ANY(CAST($2 AS text[]))
          ORDER BY name, requirement LIMIT $3) r
    JOIN package_listings l ON l.name = r.name
    ORDER BY l.name, r.requirement
"""


async def page_of_dependents(
    tx: AsyncConnection, required: PackageName, page: Page
) -> tuple[int, list[Dependent]]:
    """How many requirements name the package, and one page of them by dependent, in one snapshot."""
    values = {"required": required, "limit": page.limit, "offset": page.offset}
    rows = (await tx.execute(_PAGE, values)).all()
    return int(rows[0].total), [Dependent(*row[1:]) for row in rows if row.name is not None]


async def requirements_on(tx: Connection, required: PackageName, limit: int) -> Sequence[str]:
    """The distinct requirements of other packages on this one, at most `limit`."""
    return [row["requirement"] for row in await fetch(tx, _REQUIREMENTS, required, limit)]


async def dependents_with(
    tx: Connection, required: PackageName, requirements: Sequence[str], limit: int
) -> list[Dependent]:
    """The other packages with one of these requirements, by name, at most `limit`."""
    rows = await fetch(tx, _WITH_REQUIREMENT, required, list(requirements), limit)
    return [Dependent(*row.values()) for row in rows]
