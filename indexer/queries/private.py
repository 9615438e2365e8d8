"""SQL on packages that are private in a public registry."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.names import PackageName
from shared.private_names import ANY, folded_pattern
from shared.statements import Connection, fetch

# Greater than each character that a name may have.
AFTER_ANY_NAME: Final = "~"

_HIDE: Final = """
    WITH hidden AS (
        SELECT * FROM unnest(CAST($1 AS uuid[]), CAST($2 AS bytea[])) AS hidden (package_id, line)
    ), unlisted AS (
        DELETE FROM package_listings l USING hidden WHERE l.package_id = hidden.package_id
    )
    INSERT INTO private_packages (package_id, catalog_line) SELECT package_id, line FROM hidden
    ON CONFLICT (package_id) DO UPDATE SET catalog_line = EXCLUDED.catalog_line, published_at = now()
"""

# The same expression as in packages_folded_name_idx; otherwise the planner would not use the index.
_PUBLIC_OF: Final = text(
    """
    SELECT p.name FROM packages p JOIN index_state s ON s.package_id = p.id
    WHERE regexp_replace(lower(p.name COLLATE "C"), '[-_]+', '-', 'g') >= :first
      AND regexp_replace(lower(p.name COLLATE "C"), '[-_]+', '-', 'g') <= :last
      AND s.published_generation > 0
      AND NOT EXISTS (SELECT 1 FROM private_packages h WHERE h.package_id = p.id)
    """
)


async def hide(tx: Connection, packages: Sequence[tuple[UUID, bytes]]) -> None:
    """Keep the catalog lines of packages, and remove their rows for search and dependents (primary keys)."""
    await fetch(tx, _HIDE, [package_id for package_id, _ in packages], [line for _, line in packages])


async def show(tx: AsyncConnection, names: Sequence[PackageName]) -> None:
    """Forget that packages were published as private ones (packages_name_key, primary key)."""
    statement = text(
        """
        DELETE FROM private_packages
        WHERE package_id IN (SELECT id FROM packages WHERE name = ANY(CAST(:names AS text[])))
        """
    )
    await tx.execute(statement, {"names": list(names)})


async def private_lines(tx: AsyncConnection) -> list[tuple[PackageName, bytes]]:
    """Each package that was published as a private one, with its catalog line, in byte order of names."""
    statement = text(
        """
        SELECT p.name, h.catalog_line FROM private_packages h JOIN packages p ON p.id = h.package_id
        ORDER BY p.name COLLATE "C"
        """
    )
    return [(row.name, row.catalog_line) for row in await tx.execute(statement)]


async def last_private_change(tx: AsyncConnection) -> tuple[int, float]:
    """A value that changes with private_lines; reads an index of their times."""
    statement = text(
        "SELECT count(*) AS packages, COALESCE(EXTRACT(epoch FROM max(published_at)), 0)::float8 AS changed "
        "FROM private_packages"
    )
    row = (await tx.execute(statement)).one()
    return row.packages, row.changed


async def published_openly(tx: AsyncConnection, pattern: str) -> list[PackageName]:
    """The packages of a pattern that were published as public ones (packages_folded_name_idx)."""
    first = folded_pattern(pattern)
    last = first + AFTER_ANY_NAME if pattern.endswith(ANY) else first
    return list((await tx.execute(_PUBLIC_OF, {"first": first, "last": last})).scalars())
