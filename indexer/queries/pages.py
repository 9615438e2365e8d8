"""SQL of the HTML pages: the lock of their builder, the changes that wait, and what the home page shows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from uuid import UUID

from indexer.home import Dependent, Home, NewAdvisory, NewVersion, Required
from shared.database import Database
from shared.names import PackageName
from shared.statements import Connection, fetch
from shared.versions import VersionText

PAGES_LOCK = 0x7830375F70616765
KEPT_RELEASES = 100
LOOKED_AT = 100


async def try_pages_lock(tx: Connection) -> bool:
    """Try to become the only transaction that renders pages; True on success. Never waits."""
    (row,) = await fetch(tx, "SELECT pg_try_advisory_xact_lock($1) AS is_locked", PAGES_LOCK)
    return bool(row["is_locked"])


async def are_pages_dirty(database: Database) -> bool:
    """True if a package was published since its pages were rendered (page_changes_pkey)."""
    async with database.driver() as connection:
        (row,) = await connection.fetch("SELECT EXISTS (SELECT 1 FROM page_changes) AS is_dirty")
        return bool(row["is_dirty"])


_TAKE = """
    WITH gone AS (
        DELETE FROM page_changes
        WHERE id IN (SELECT id FROM page_changes ORDER BY id LIMIT $1)
        RETURNING package_id
    )
    SELECT name FROM packages WHERE id IN (SELECT package_id FROM gone)
    """


async def take_changes(tx: Connection, count: int) -> list[PackageName]:
    """Remove the oldest so many changes, and return the names of their packages.

    A rollback restores them (page_changes_pkey, packages_pkey).
    """
    return [row["name"] for row in await fetch(tx, _TAKE, count)]


_BEGIN = """
    WITH before AS (SELECT build FROM page_state)
    UPDATE page_state SET built_at = now(), build = $1 RETURNING (SELECT build FROM before) AS before
    """


async def begin_build(database: Database, build: UUID) -> UUID | None:
    """Note that pages are about to be put, in a transaction of its own. Returns the build before, if any.

    Only the holder of the pages' lock does this.
    """
    async with database.driver() as connection:
        (row,) = await connection.fetch(_BEGIN, build)
        before: UUID | None = row["before"]
        return before


# A publication that began before the last build may have ended after it.
_ADD_MISSED = """
    INSERT INTO page_changes (package_id)
    SELECT s.package_id
    FROM index_state s CROSS JOIN page_state JOIN packages p ON p.id = s.package_id
    WHERE s.published_generation > 0
        AND (edition <> $1 OR s.published_at > built_at - interval '10 minutes')
    ORDER BY p.created_at, p.name
    """


# The totals to which place() adds, without packages that are gone or have become private.
_COUNT_PLACES = """
    UPDATE page_totals SET (packages, versions) = (
        SELECT count(*), COALESCE(sum(x.versions), 0)
        FROM page_positions x JOIN packages p ON p.id = x.package_id
        WHERE NOT EXISTS (SELECT FROM private_packages h WHERE h.package_id = p.id))
    """


async def begin_edition(database: Database, edition: str) -> None:
    """Have pages rendered: of all packages in a new edition, else of those published since the last build.

    Those were published by workers that rendered no pages. It reads all packages, once for each worker.
    """
    async with database.transaction() as tx:
        await fetch(tx, _ADD_MISSED, edition)
        await fetch(tx, "UPDATE page_state SET edition = $1", edition)
        if await try_pages_lock(tx):  # else the totals change meanwhile
            await fetch(tx, _COUNT_PLACES)


_PUT_RELEASES = """
    WITH outdated AS (
        DELETE FROM page_releases WHERE package_id = ANY(CAST($1 AS uuid[]))
            AND (package_id, version) NOT IN (
                SELECT * FROM unnest(CAST($2 AS uuid[]), CAST($3 AS text[])))
    )
    INSERT INTO page_releases (package_id, version, published_at)
    SELECT * FROM unnest(CAST($2 AS uuid[]), CAST($3 AS text[]), CAST($4 AS timestamptz[]))
    ON CONFLICT (package_id, version) DO UPDATE SET published_at = EXCLUDED.published_at
    """
_KEEP_NEWEST = """
    DELETE FROM page_releases WHERE (package_id, version) NOT IN (
        SELECT package_id, version FROM page_releases ORDER BY published_at DESC, version LIMIT $1)
    """


async def put_releases(
    tx: Connection,
    packages: Sequence[UUID],
    releases: Sequence[tuple[UUID, VersionText, datetime]],
) -> None:
    """Replace the kept versions of some packages, and keep the newest of all (page_releases_pkey)."""
    ids = [package_id for package_id, _, _ in releases]
    versions = [version for _, version, _ in releases]
    moments = [published_at for _, _, published_at in releases]
    await fetch(tx, _PUT_RELEASES, list(packages), ids, versions, moments)
    await fetch(tx, _KEEP_NEWEST, KEPT_RELEASES)


# OFFSET 0 has Postgres look up each package. Otherwise it reads all of them.
_NEWEST = """
    SELECT p.name, r.version, r.published_at, l.description
    FROM page_releases r
    CROSS JOIN LATERAL (SELECT name FROM packages WHERE id = r.package_id OFFSET 0) p
    LEFT JOIN LATERAL (
        SELECT description FROM package_listings WHERE package_id = r.package_id OFFSET 0) l ON true
    ORDER BY r.published_at DESC, p.name LIMIT $1
    """
# Private packages take no place among the first so many; a list that is too short would tell of them.
_REQUIRED = """
    SELECT r.name, r.dependents FROM page_required r
    CROSS JOIN LATERAL (SELECT id FROM packages WHERE name = r.name OFFSET 0) p
    WHERE r.dependents > 0 AND NOT EXISTS (SELECT FROM private_packages h WHERE h.package_id = p.id)
    ORDER BY r.dependents DESC, r.name LIMIT $1
    """
_COUNT_DEPENDENTS = """
    INSERT INTO page_required (name, dependents)
    SELECT asked.name, counted.dependents
    FROM unnest(CAST($1 AS text[])) AS asked (name)
    CROSS JOIN LATERAL (SELECT count(DISTINCT r.package_id) AS dependents
                        FROM package_requirements r WHERE r.required = asked.name) counted
    WHERE counted.dependents > 0 OR EXISTS (SELECT FROM page_required r WHERE r.name = asked.name)
    ON CONFLICT (name) DO UPDATE SET dependents = EXCLUDED.dependents
    WHERE page_required.dependents <> EXCLUDED.dependents
    """
# Of a package with a change that readers do not see yet, the advisories wait for its publication.
_ADVISORIES = """
    SELECT a.id, p.name, a.version, a.kind, a.severity, a.summary, a.created_at, a.withdrawn_at
    FROM package_version_advisories a
    CROSS JOIN LATERAL (SELECT id, name FROM packages WHERE id = a.package_id OFFSET 0) p
    CROSS JOIN LATERAL (
        SELECT FROM index_state WHERE package_id = p.id AND generation = published_generation OFFSET 0) s
    WHERE NOT EXISTS (SELECT FROM private_packages h WHERE h.package_id = p.id)
    ORDER BY COALESCE(a.withdrawn_at, a.created_at) DESC, a.id LIMIT $1
    """
# The names are few, and each is looked up in the primary key.
_DEPENDENTS = """
    SELECT asked.name AS required, r.name, r.requirement
    FROM unnest(CAST($1 AS text[])) AS asked (name)
    CROSS JOIN LATERAL (
        SELECT name, min(requirement) AS requirement FROM package_requirements
        WHERE required = asked.name GROUP BY name ORDER BY name LIMIT $2) r
    """
_REQUIRED_BY = """
    SELECT DISTINCT r.required FROM package_requirements r JOIN packages p ON p.id = r.package_id
    WHERE p.name = ANY(CAST($1 AS text[]))
    """


async def home(tx: Connection, shows: Callable[[str], bool]) -> Home:
    """What the home page and the feeds show. It reads all advisories.

    shows: tells which packages; it knows of a pattern that has just become private.
    """
    (totals,) = await fetch(tx, "SELECT packages, versions FROM page_totals")
    newest = [NewVersion(**row) for row in await fetch(tx, _NEWEST, KEPT_RELEASES)]
    required = [Required(**row) for row in await fetch(tx, _REQUIRED, LOOKED_AT)]
    advised = [NewAdvisory(**row) for row in await fetch(tx, _ADVISORIES, LOOKED_AT)]
    return Home(
        totals["packages"],
        totals["versions"],
        tuple(each for each in newest if shows(each.name)),
        tuple(each for each in required if shows(each.name)),
        tuple(each for each in advised if shows(each.name)),
    )


async def count_dependents(tx: Connection, names: Sequence[str]) -> None:
    """Count anew what requires these packages, for the home page (package_requirements_pkey)."""
    await fetch(tx, _COUNT_DEPENDENTS, list(names))


async def dependents_of(tx: Connection, names: Sequence[str]) -> dict[str, list[Dependent]]:
    """The first packages that require each of these, by name (package_requirements_pkey)."""
    found: dict[str, list[Dependent]] = {name: [] for name in names}
    for row in await fetch(tx, _DEPENDENTS, list(names), LOOKED_AT):
        found[row["required"]].append(Dependent(row["name"], row["requirement"]))
    return found


async def required_by(tx: Connection, names: Sequence[str]) -> list[PackageName]:
    """The names that these packages require (package_requirements_package_id_idx)."""
    return [row["required"] for row in await fetch(tx, _REQUIRED_BY, list(names))]
