"""SQL on the requirements of latest versions (package_requirements_pkey serves every function)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import ARRAY, Text, bindparam, text
from sqlalchemy.ext.asyncio import AsyncConnection

from api.write.query_params import Page
from shared.names import PackageName


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

_WITH_REQUIREMENT = text(
    """
    SELECT l.name, l.latest_version, r.requirement
    FROM (SELECT name, requirement FROM package_requirements
          WHERE required = :required AND name <> :required AND requirement = ANY(:requirements)
          ORDER BY name, requirement LIMIT :limit) r
    JOIN package_listings l ON l.name = r.name
    ORDER BY l.name, r.requirement
    """
).bindparams(bindparam("requirements", type_=ARRAY(Text)))


async def page_of_dependents(
    tx: AsyncConnection, required: PackageName, page: Page
) -> tuple[int, list[Dependent]]:
    """How many requirements name the package, and one page of them by dependent, in one snapshot."""
    values = {"required": required, "limit": page.limit, "offset": page.offset}
    rows = (await tx.execute(_PAGE, values)).all()
    return int(rows[0].total), [Dependent(*row[1:]) for row in rows if row.name is not None]


async def requirements_on(tx: AsyncConnection, required: PackageName, limit: int) -> Sequence[str]:
    """The distinct requirements of other packages on this one, at most `limit`."""
    result = await tx.execute(
        text(
            """
            SELECT DISTINCT requirement FROM package_requirements
            WHERE required = :required AND name <> :required
            LIMIT :limit
            """
        ),
        {"required": required, "limit": limit},
    )
    return list(result.scalars())


async def dependents_with(
    tx: AsyncConnection, required: PackageName, requirements: Sequence[str], limit: int
) -> list[Dependent]:
    """The other packages with one of these requirements, by name, at most `limit`."""
    values = {"required": required, "requirements": list(requirements), "limit": limit}
    return [Dependent(*row) for row in await tx.execute(_WITH_REQUIREMENT, values)]
