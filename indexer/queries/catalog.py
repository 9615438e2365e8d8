"""SQL of the catalog: the lock of its builder, the changes that wait, its number, and its lines."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Final

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.database import Database

CATALOG_PAGE = 1000
CATALOG_LOCK = 0x7830375F63617461


async def try_catalog_lock(tx: AsyncConnection) -> bool:
    """Try to become the only transaction that builds the catalog; True on success. Never waits."""
    result = await tx.execute(text("SELECT pg_try_advisory_xact_lock(:key)"), {"key": CATALOG_LOCK})
    return bool(result.scalar_one())


async def is_catalog_dirty(database: Database) -> bool:
    """True if a package was published since the last build of the catalog (catalog_changes_pkey)."""
    async with database.reading() as connection:
        result = await connection.execute(text("SELECT EXISTS (SELECT 1 FROM catalog_changes)"))
        return bool(result.scalar_one())


async def next_generation(database: Database) -> int:
    """A number for the next catalog, committed before it is built, so that none is ahead of the rows."""
    statement = text("UPDATE tree_state SET catalog_generation = catalog_generation + 1 RETURNING *")
    async with database.transaction() as tx:
        return int((await tx.execute(statement)).one().catalog_generation)


async def last_generation(database: Database) -> int:
    """The last number from next_generation; 0 before the first."""
    async with database.reading() as connection:
        return int((await connection.execute(text("SELECT catalog_generation FROM tree_state"))).scalar_one())


async def raise_generation_to(database: Database, generation: int) -> None:
    """Raise the number of the next catalog above that of the one in storage (shared/high_water.py)."""
    statement = text(
        "UPDATE tree_state SET catalog_generation = GREATEST(catalog_generation, CAST(:generation AS bigint))"
    )
    async with database.transaction() as tx:
        await tx.execute(statement, {"generation": generation})


async def take_catalog_changes(tx: AsyncConnection) -> int:
    """Remove the rows that make the catalog dirty. Returns how many there were.

    A rollback restores them. Lines that are read afterwards hold every change that was removed here.
    """
    return (await tx.execute(text("DELETE FROM catalog_changes"))).rowcount


_TAKE_NAMES = text(
    """
    WITH taken AS (DELETE FROM catalog_changes RETURNING package_id)
    SELECT DISTINCT p.name FROM taken LEFT JOIN LATERAL (
        SELECT name FROM packages WHERE id = taken.package_id OFFSET 0) p ON true
    """
)


async def take_changed_names(tx: AsyncConnection) -> list[str | None]:
    """Remove the rows that make the catalog dirty. Returns the names of their packages (packages_pkey).

    None is among them if a package is gone. A rollback restores the rows, as take_catalog_changes says.
    """
    return list((await tx.execute(_TAKE_NAMES)).scalars())


@dataclass(frozen=True, slots=True)
class CatalogPage:
    """Catalog lines of consecutive packages, joined by commas.

    last: the last name. names: how many packages, of which unpublished ones have no line. lines: not empty.
    """

    last: str
    names: int
    lines: bytes


# OFFSET 0 makes Postgres look up the state of each package of a page. Otherwise it reads all states.
_CATALOG_PAGE = text(
    """
    SELECT max(name) AS last, count(*) AS names, string_agg(s.catalog_line, ',' ORDER BY name) AS lines
    FROM (SELECT id, name COLLATE "C" AS name FROM packages
          WHERE name COLLATE "C" > :after AND name COLLATE "C" <= :up_to
          ORDER BY name COLLATE "C" LIMIT :page) p
    LEFT JOIN LATERAL (
        SELECT catalog_line FROM index_state WHERE package_id = p.id AND catalog_line IS NOT NULL OFFSET 0
    ) s ON true
    """
)
# Comes after every name.
NO_END: Final = "\U0010ffff"


async def catalog_pages(
    tx: AsyncConnection, after: str = "", up_to: str | None = None, limit: int = CATALOG_PAGE
) -> AsyncIterator[CatalogPage]:
    """The catalog lines of published packages in byte order of names, at most `limit` of them a page.

    after, up_to: only packages behind the one name, and not behind the other. The pages are not one snapshot:
    a line is as old as the first page, or newer. Served by packages_name_bytes_idx and index_state_pkey.
    """
    while True:
        values = {"after": after, "up_to": up_to or NO_END, "page": limit}
        page = (await tx.execute(_CATALOG_PAGE, values)).one()
        if page.lines:
            yield CatalogPage(page.last, page.names, page.lines)
        if page.names < limit:
            return
        after = page.last


async def catalog_lines(tx: AsyncConnection) -> AsyncIterator[bytes]:
    """The catalog lines of all published packages, as catalog_pages has them."""
    async for page in catalog_pages(tx):
        yield page.lines
