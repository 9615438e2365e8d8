"""SQL of the HTML pages: the lock of their builder, the changes that wait, and what the home page shows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from indexer.home import Dependent, Home, NewAdvisory, NewVersion, Required
from shared.database import Database
from shared.names import PackageName
from shared.versions import VersionText

PAGES_LOCK = 0x7830375F70616765
KEPT_RELEASES = 100
LOOKED_AT = 100


async def try_pages_lock(tx: AsyncConnection) -> bool:
    """Try to become the only transaction that renders pages; True on success. Never waits."""
    result = await tx.execute(text("SELECT pg_try_advisory_xact_lock(:key)"), {"key": PAGES_LOCK})
    return bool(result.scalar_one())


async def are_pages_dirty(database: Database) -> bool:
    """True if a package was published since its pages were rendered (page_changes_pkey)."""
    async with database.reading() as connection:
        result = await connection.execute(text("SELECT EXISTS (SELECT 1 FROM page_changes)"))
        return bool(result.scalar_one())


_TAKE = text(
    """
    WITH gone AS (
        DELETE FROM page_changes
        WHERE id IN (SELECT id FROM page_changes ORDER BY id LIMIT :count)
        RETURNING package_id
    )
    SELECT name FROM packages WHERE id IN (SELECT package_id FROM gone)
    """
)


async def take_changes(tx: AsyncConnection, count: int) -> list[PackageName]:
    """Remove the oldest so many changes, and return the names of their packages.

    A rollback restores them (page_changes_pkey, packages_pkey).
    """
    return list((await tx.execute(_TAKE, {"count": count})).scalars())


_BEGIN = text(
    """
    WITH before AS (SELECT build FROM page_state)
    UPDATE page_state SET built_at = now(), build = :build RETURNING (SELECT build FROM before) AS before
    """
)


async def begin_build(database: Database, build: UUID) -> UUID | None:
    """Note that pages are about to be put, in a transaction of its own. Returns the build before, if any.

    Only the holder of the pages' lock does this.
    """
    async with database.transaction() as tx:
        before: UUID | None = (await tx.execute(_BEGIN, {"build": build})).scalar_one()
        return before


# A publication that began before the last build may have ended after it.
_ADD_MISSED = text(
    """
    INSERT INTO page_changes (package_id)
    SELECT s.package_id
    FROM index_state s CROSS JOIN page_state JOIN packages p ON p.id = s.package_id
    WHERE s.published_generation > 0
        AND (edition <> :edition OR s.published_at > built_at - interval '10 minutes')
    ORDER BY p.created_at, p.name
    """
)


# The totals to which place() adds, without packages that are gone or have become private.
_COUNT_PLACES = text(
    """
    UPDATE page_totals SET (packages, versions) = (
        SELECT count(*), COALESCE(sum(x.versions), 0)
        FROM page_positions x JOIN packages p ON p.id = x.package_id
        WHERE NOT EXISTS (SELECT FROM private_packages h WHERE h.package_id = p.id))
    """
)


async def begin_edition(database: Database, edition: str) -> None:
    """Have pages rendered: of all packages in a new edition, else of those published since the last build.

    Those were published by workers that rendered no pages. It reads all packages, once for each worker.
    """
    async with database.transaction() as tx:
        await tx.execute(_ADD_MISSED, {"edition": edition})
        await tx.execute(text("UPDATE page_state SET edition = :edition"), {"edition": edition})
        if await try_pages_lock(tx):  # else the totals change meanwhile
            await tx.execute(_COUNT_PLACES)


_PUT_RELEASES = text(
    """
    WITH outdated AS (
        DELETE FROM page_releases WHERE package_id = ANY(CAST(:packages AS uuid[]))
            AND (package_id, version) NOT IN (
                SELECT * FROM unnest(CAST(:ids AS uuid[]), CAST(:versions AS text[])))
    )
    INSERT INTO page_releases (package_id, version, published_at)
    SELECT * FROM unnest(CAST(:ids AS uuid[]), CAST(:versions AS text[]), CAST(:moments AS timestamptz[]))
    ON CONFLICT (package_id, version) DO UPDATE SET published_at = EXCLUDED.published_at
    """
)
_KEEP_NEWEST = text(
    """
    DELETE FROM page_releases WHERE (package_id, version) NOT IN (
        SELECT package_id, version FROM page_releases ORDER BY published_at DESC, version LIMIT :kept)
    """
)


async def put_releases(
    tx: AsyncConnection,
    packages: Sequence[UUID],
    releases: Sequence[tuple[UUID, VersionText, datetime]],
) -> None:
    """Replace the kept versions of some packages, and keep the newest of all (page_releases_pkey)."""
    values = {
        "packages": list(packages),
        "ids": [package_id for package_id, _, _ in releases],
        "versions": [version for _, version, _ in releases],
        "moments": [published_at for _, _, published_at in releases],
    }
    await tx.execute(_PUT_RELEASES, values)
    await tx.execute(_KEEP_NEWEST, {"kept": KEPT_RELEASES})


# OFFSET 0 has Postgres look up each package. Otherwise it reads all of them.
_NEWEST = text(
    """
    SELECT p.name, r.version, r.published_at, l.description
    FROM page_releases r
    CROSS JOIN LATERAL (SELECT name FROM packages WHERE id = r.package_id OFFSET 0) p
    LEFT JOIN LATERAL (
        SELECT description FROM package_listings WHERE package_id = r.package_id OFFSET 0) l ON true
    ORDER BY r.published_at DESC, p.name LIMIT :count
    """
)
# Private packages take no place among the first so many; a list that is too short would tell of them.
_REQUIRED = text(
    """
    SELECT r.name, r.dependents FROM page_required r
    CROSS JOIN LATERAL (SELECT id FROM packages WHERE name = r.name OFFSET 0) p
    WHERE r.dependents > 0 AND NOT EXISTS (SELECT FROM private_packages h WHERE h.package_id = p.id)
    ORDER BY r.dependents DESC, r.name LIMIT :count
    """
)
_COUNT_DEPENDENTS = text(
    """
    INSERT INTO page_required (name, dependents)
    SELECT asked.name, counted.dependents
    FROM unnest(CAST(:names AS text[])) AS asked (name)
    CROSS JOIN LATERAL (SELECT count(DISTINCT r.package_id) AS dependents
                        FROM package_requirements r WHERE r.required = asked.name) counted
    WHERE counted.dependents > 0 OR EXISTS (SELECT FROM page_required r WHERE r.name = asked.name)
    ON CONFLICT (name) DO UPDATE SET dependents = EXCLUDED.dependents
    WHERE page_required.dependents <> EXCLUDED.dependents
    """
)
# Of a package with a change that readers do not see yet, the advisories wait for its publication.
_ADVISORIES = text(
    """
    SELECT a.id, p.name, a.version, a.kind, a.severity, a.summary, a.created_at, a.withdrawn_at
    FROM package_version_advisories a
    CROSS JOIN LATERAL (SELECT id, name FROM packages WHERE id = a.package_id OFFSET 0) p
    CROSS JOIN LATERAL (
        SELECT FROM index_state WHERE package_id = p.id AND generation = published_generation OFFSET 0) s
    WHERE NOT EXISTS (SELECT FROM private_packages h WHERE h.package_id = p.id)
    ORDER BY COALESCE(a.withdrawn_at, a.created_at) DESC, a.id LIMIT :count
    """
)
# The names are few, and each is looked up in the primary key.
_DEPENDENTS = text(
    """
    SELECT asked.name AS required, r.name, r.requirement
    FROM unnest(CAST(:names AS text[])) AS asked (name)
    CROSS JOIN LATERAL (
        SELECT name, min(requirement) AS requirement FROM package_requirements
        WHERE required = asked.name GROUP BY name ORDER BY name LIMIT :count) r
    """
)
_REQUIRED_BY = text(
    """
    SELECT DISTINCT r.required FROM package_requirements r JOIN packages p ON p.id = r.package_id
    WHERE p.name = ANY(CAST(:names AS text[]))
    """
)


async def home(tx: AsyncConnection, shows: Callable[[str], bool]) -> Home:
    """What the home page and the feeds show. It reads all advisories.

    shows: tells which packages; it knows of a pattern that has just become private.
    """
    totals = (await tx.execute(text("SELECT packages, versions FROM page_totals"))).one()
    newest = [NewVersion(**row) for row in (await tx.execute(_NEWEST, {"count": KEPT_RELEASES})).mappings()]
    required = [Required(**row) for row in (await tx.execute(_REQUIRED, {"count": LOOKED_AT})).mappings()]
    advised = [NewAdvisory(**row) for row in (await tx.execute(_ADVISORIES, {"count": LOOKED_AT})).mappings()]
    return Home(
        totals.packages,
        totals.versions,
        tuple(each for each in newest if shows(each.name)),
        tuple(each for each in required if shows(each.name)),
        tuple(each for each in advised if shows(each.name)),
    )


async def count_dependents(tx: AsyncConnection, names: Sequence[str]) -> None:
    """Count anew what requires these packages, for the home page (package_requirements_pkey)."""
    await tx.execute(_COUNT_DEPENDENTS, {"names": list(names)})


async def dependents_of(tx: AsyncConnection, names: Sequence[str]) -> dict[str, list[Dependent]]:
    """The first packages that require each of these, by name (package_requirements_pkey)."""
    found: dict[str, list[Dependent]] = {name: [] for name in names}
    rows = await tx.execute(_DEPENDENTS, {"names": list(names), "count": LOOKED_AT})
    for row in rows:
        found[row.required].append(Dependent(row.name, row.requirement))
    return found


async def required_by(tx: AsyncConnection, names: Sequence[str]) -> list[PackageName]:
    """The names that these packages require (package_requirements_package_id_idx)."""
    return list((await tx.execute(_REQUIRED_BY, {"names": list(names)})).scalars())
