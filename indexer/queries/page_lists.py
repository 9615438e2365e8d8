"""SQL of the pages that list all packages.

A package keeps the place that it got when its first page was rendered, 100 a page, so that a new one changes
the last page alone. A private package has no place; otherwise gaps would tell how many there are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from uuid import UUID

from indexer.listed import Listed
from shared.statements import Connection, fetch

PER_PAGE = 100

_PLACE = """
    WITH counted AS MATERIALIZED (
        SELECT * FROM unnest(CAST($1 AS uuid[]), CAST($2 AS integer[]))
             AS counted (package_id, versions)
    ), known AS MATERIALIZED (
        SELECT package_id, p.versions AS before, counted.versions
        FROM page_positions p JOIN counted USING (package_id)
    ), new AS MATERIALIZED (
        SELECT c.package_id, row_number() OVER (ORDER BY p.created_at, p.name) AS number, c.versions
        FROM counted c JOIN packages p ON p.id = c.package_id
        WHERE c.package_id NOT IN (SELECT package_id FROM known)
    ), placed AS (
        INSERT INTO page_positions (package_id, position, versions)
        SELECT package_id, (SELECT COALESCE(max(position), 0) FROM page_positions) + number, versions FROM new
    ), counted_again AS (
        UPDATE page_positions p SET versions = known.versions FROM known
        WHERE p.package_id = known.package_id AND p.versions <> known.versions
    )
    UPDATE page_totals SET
        packages = packages + (SELECT count(*) FROM new),
        versions = versions + (SELECT COALESCE(sum(versions), 0) FROM new)
                            + (SELECT COALESCE(sum(versions - before), 0) FROM known)
    """


async def place(tx: Connection, versions: Mapping[UUID, int]) -> None:
    """Give packages places behind all others unless they have some, and count their versions (primary keys).

    versions: how many each package has. Only the holder of the pages' lock does this.
    """
    await fetch(tx, _PLACE, list(versions), list(versions.values()))


# OFFSET 0 has Postgres look up each package of a page. Otherwise it reads all of them.
_CHANGED = """
    WITH last AS (SELECT max(position) AS position FROM page_positions), wanted AS (
        SELECT (position - 1) / $2 AS page
        FROM packages p JOIN page_positions ON package_id = p.id
        WHERE p.name = ANY(CAST($1 AS text[]))
        UNION SELECT (position - 1) / $2 FROM last
        UNION SELECT (position - 1) / $2 - 1 FROM last
    )
    SELECT wanted.page + 1 AS page, p.name, l.latest_version, l.description, l.is_official
    FROM wanted
    CROSS JOIN LATERAL (
        SELECT package_id FROM page_positions
        WHERE position > wanted.page * $2 AND position <= (wanted.page + 1) * $2
        OFFSET 0) placed
    CROSS JOIN LATERAL (SELECT id, name FROM packages WHERE id = placed.package_id OFFSET 0) p
    CROSS JOIN LATERAL (SELECT * FROM package_listings WHERE package_id = p.id OFFSET 0) l
    WHERE EXISTS (SELECT FROM index_state s WHERE s.package_id = p.id AND s.published_generation > 0)
    ORDER BY wanted.page, p.name
    """
_LAST = "SELECT (COALESCE(max(position), 0) + $1 - 1) / $1 AS last FROM page_positions"


async def changed_pages(tx: Connection, names: Sequence[str]) -> list[Listed]:
    """The packages of the pages that list one of these, and of the last two (page_positions_position_key)."""
    return [Listed(**row) for row in await fetch(tx, _CHANGED, list(names), PER_PAGE)]


async def last_page(tx: Connection) -> int:
    """The number of the last page; 0 without packages (page_positions_position_key)."""
    (row,) = await fetch(tx, _LAST, PER_PAGE)
    return int(row["last"])
