"""SQL of the catalog: the lock of its builder, the changes that wait, its number, and its lines."""

from __future__ import annotations

from collections.abc import AsyncIterator

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


_CATALOG_PAGE = text(
    """
    SELECT max(name) AS last, string_agg(line, ',' ORDER BY name) AS lines
    FROM (SELECT p.name COLLATE "C" AS name, s.catalog_line AS line
          FROM packages p JOIN index_state s ON s.package_id = p.id
          WHERE p.name COLLATE "C" > :after AND s.catalog_line IS NOT NULL
          ORDER BY p.name COLLATE "C" LIMIT :page) page
    """
)


async def catalog_lines(tx: AsyncConnection) -> AsyncIterator[bytes]:
    """The catalog lines of all published packages in byte order of names, a page at a time, joined by commas.

    The pages are not one snapshot: a line is as old as the first page, or newer. Served by
    packages_name_bytes_idx.
    """
    after = ""
    while (page := (await tx.execute(_CATALOG_PAGE, {"after": after, "page": CATALOG_PAGE})).one()).lines:
        yield page.lines
        after = page.last
