"""SQL of archetypes: which there are, and the packages of each, from listings that have any."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from api.write.paging import Page
from api.write.queries.like import containing


@dataclass(frozen=True, slots=True)
class ArchetypedPackage:
    """A package under one of its archetypes."""

    archetype: str
    name: str
    latest_version: str | None
    is_official: bool
    description: str | None


_COLUMNS = "name, latest_version, is_official, description"

# The document holds all that the second condition looks at: an index finds candidates with it.
_PAGE = text(
    f"""
    WITH hits AS MATERIALIZED (
        SELECT a.archetype COLLATE "C" AS archetype, {_COLUMNS}
        FROM package_listings CROSS JOIN unnest(archetypes) AS a (archetype)
        WHERE archetypes <> '{{}}' AND archetype_document LIKE :pattern
          AND (a.archetype LIKE :pattern
               OR lower((name || ' ' || COALESCE(description, '')) COLLATE "C") LIKE :pattern)
    ), found AS (
        SELECT archetype FROM hits GROUP BY archetype
    ), page AS (
        SELECT archetype FROM found ORDER BY archetype LIMIT :limit OFFSET :offset
    )
    SELECT counted.total, archetype, {_COLUMNS}
    FROM (SELECT count(*) AS total FROM found) counted
    LEFT JOIN (page JOIN hits USING (archetype)) ON true
    ORDER BY archetype, name
    """  # noqa: S608 - no value is in the text
)

_OF_ONE = text(
    f"""
    SELECT CAST(:archetype AS text) AS archetype, {_COLUMNS}
    FROM package_listings WHERE archetypes @> ARRAY[CAST(:archetype AS text)]
    ORDER BY name
    """  # noqa: S608 - no value is in the text
)


async def page_of_archetypes(tx: AsyncConnection, q: str, page: Page) -> tuple[int, list[ArchetypedPackage]]:
    """How many archetypes match, and the matching packages of those on the page, in order of both.

    q: lower-case; text in the archetype, or in the package's name and description. Served by
    package_listings_document_idx, or package_listings_archetyped_idx when most match.
    """
    values = {"pattern": containing(q), "limit": page.limit, "offset": page.offset}
    rows = (await tx.execute(_PAGE, values)).all()
    packages = [ArchetypedPackage(*row[1:]) for row in rows if row.archetype is not None]
    return int(rows[0].total), packages


async def packages_of(tx: AsyncConnection, archetype: str) -> list[ArchetypedPackage]:
    """The packages of one archetype, by name (package_listings_archetypes_idx)."""
    return [ArchetypedPackage(*row) for row in await tx.execute(_OF_ONE, {"archetype": archetype})]
