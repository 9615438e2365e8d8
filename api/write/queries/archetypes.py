"""SQL that lists archetypes, and the packages of each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from api.write.queries.like import containing
from api.write.queries.listed import DESCRIPTION
from api.write.query_params import Page

MAX_BYTES: Final = 512 * 1024
"""The largest total size of the packages in an answer, as JSON."""


@dataclass(frozen=True, slots=True)
class ArchetypedPackage:
    """A package under one of its archetypes. package_count: the number of packages of the archetype.

    description: limited in characters as in new manifests, but possibly more bytes.
    """

    archetype: str
    package_count: int
    name: str
    latest_version: str | None
    is_official: bool
    description: str | None


_COLUMNS = "name, latest_version, is_official"

# Each archetype gets at least one package, so that every archetype appears; more follow while there is room.
_SHOWN = f"""
    measured AS (
        SELECT hits.*, count(*) OVER of_archetype AS package_count,
               row_number() OVER (of_archetype ORDER BY name) AS place,
               sum(octet_length(row_to_json(hits)::text)) OVER (ORDER BY archetype, name) <= {MAX_BYTES}
                   AS fits
        FROM hits JOIN page USING (archetype)
        WINDOW of_archetype AS (PARTITION BY archetype)
    ), shown AS (
        SELECT archetype, package_count, {_COLUMNS}, CASE WHEN fits THEN description END AS description
        FROM measured WHERE fits OR place = 1
    )
    """  # noqa: S608 - no value is in the text

# The document contains every text that the second condition searches, so an index on it finds candidates.
_PAGE = text(
    f"""
    WITH hits AS MATERIALIZED (
        SELECT a.archetype COLLATE "C" AS archetype, {_COLUMNS}, {DESCRIPTION}
        FROM package_listings CROSS JOIN unnest(archetypes) AS a (archetype)
        WHERE archetypes <> '{{}}' AND archetype_document LIKE :pattern
          AND (a.archetype LIKE :pattern
               OR lower((name || ' ' || COALESCE(description, '')) COLLATE "C") LIKE :pattern)
    ), found AS (
        SELECT archetype FROM hits GROUP BY archetype
    ), page AS (
        SELECT archetype FROM found ORDER BY archetype LIMIT :limit OFFSET :offset
    ), {_SHOWN}
    SELECT counted.total, shown.*
    FROM (SELECT count(*) AS total FROM found) counted LEFT JOIN shown ON true
    ORDER BY archetype, name
    """  # noqa: S608 - no value is in the text
)

_OF_ONE = text(
    f"""
    WITH page AS (
        SELECT CAST(:archetype AS text) COLLATE "C" AS archetype
    ), hits AS MATERIALIZED (
        SELECT page.archetype, {_COLUMNS}, {DESCRIPTION}
        FROM page, package_listings WHERE archetypes @> ARRAY[CAST(:archetype AS text)]
    ), {_SHOWN}
    SELECT * FROM shown ORDER BY name
    """  # noqa: S608 - no value is in the text
)


async def plan_for_values(tx: AsyncConnection) -> None:
    """Have Postgres plan this transaction's statements for their values, which decide the best plan."""
    await tx.execute(text("SELECT set_config('plan_cache_mode', 'force_custom_plan', true)"))


async def page_of_archetypes(tx: AsyncConnection, q: str, page: Page) -> tuple[int, list[ArchetypedPackage]]:
    """The number of archetypes that match, and the matching packages of those on the page, in order.

    Packages are left out beyond MAX_BYTES, but each archetype has at least one.

    q: lower-case; text in the archetype, or in the package's name and description. Served by
    package_listings_document_idx, or package_listings_archetyped_idx when most match.
    """
    values = {"pattern": containing(q), "limit": page.limit, "offset": page.offset}
    rows = (await tx.execute(_PAGE, values)).all()
    packages = [ArchetypedPackage(*row[1:]) for row in rows if row.archetype is not None]
    return int(rows[0].total), packages


async def packages_of(tx: AsyncConnection, archetype: str) -> list[ArchetypedPackage]:
    """The packages of an archetype by name, up to MAX_BYTES (package_listings_archetypes_idx)."""
    return [ArchetypedPackage(*row) for row in await tx.execute(_OF_ONE, {"archetype": archetype})]
