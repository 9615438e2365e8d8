"""SQL for walks over the whole published tree: verify, repair, collect, reindex, export."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import ARRAY, RowMapping, Text, bindparam, text
from sqlalchemy.ext.asyncio import AsyncConnection

from indexer.queries import version_row
from indexer.rows import AdvisoryRow, PackageRow, PackageState
from shared.locks import package_lock_key, staging_lock_key
from shared.names import PackageName

_TEXTS = ARRAY(Text)

_PACKAGES = text(
    """
    SELECT p.id, p.name, p.latest_version, COALESCE(s.generation, 1) AS generation,
           COALESCE(s.published_generation, 0) AS published_generation, s.catalog_line,
           EXTRACT(epoch FROM now() - s.dirty_since)::float8 AS dirty_s,
           EXISTS (SELECT 1 FROM package_owners o JOIN users u ON u.id = o.user_id
                   WHERE o.package_id = p.id AND u.handle = :official) AS is_official
    FROM packages p LEFT JOIN index_state s ON s.package_id = p.id
    WHERE p.name = ANY(:names)
    ORDER BY p.name COLLATE "C"
    """
).bindparams(bindparam("names", type_=_TEXTS))

_VERSIONS = text(
    """
    SELECT v.*, COALESCE(s.staged, false) AS staged, s.metadata_digest
    FROM package_versions v LEFT JOIN version_state s USING (package_id, version)
    WHERE v.package_id IN :ids
    """
).bindparams(bindparam("ids", expanding=True))

_ADVISORIES = text(
    """
    SELECT package_id, id, version, kind, severity, summary, details, url, created_at
    FROM package_version_advisories
    WHERE package_id IN :ids AND withdrawn_at IS NULL
    ORDER BY created_at, id
    """
).bindparams(bindparam("ids", expanding=True))


async def count_packages(tx: AsyncConnection, after: str = "") -> int:
    """How many packages there are behind `after` (packages_name_bytes_idx)."""
    result = await tx.execute(
        text('SELECT count(*) FROM packages WHERE name COLLATE "C" > :after'), {"after": after}
    )
    return int(result.scalar_one())


async def names_behind(tx: AsyncConnection, after: str, limit: int) -> list[PackageName]:
    """The next names in byte order (packages_name_bytes_idx)."""
    result = await tx.execute(
        text(
            """
            SELECT name FROM packages WHERE name COLLATE "C" > :after
            ORDER BY name COLLATE "C" LIMIT :limit
            """
        ),
        {"after": after, "limit": limit},
    )
    return list(result.scalars())


async def packages_among(tx: AsyncConnection, names: Collection[str]) -> list[PackageName]:
    """Those of the names that are packages, in byte order (packages_name_key)."""
    statement = text('SELECT name FROM packages WHERE name = ANY(:names) ORDER BY name COLLATE "C"')
    bound = statement.bindparams(bindparam("names", type_=_TEXTS))
    return list((await tx.execute(bound, {"names": list(names)})).scalars())


async def known_names(tx: AsyncConnection, names: Collection[str]) -> set[str]:
    """Those of the names that are packages with a version (packages_name_key, primary key)."""
    statement = text(
        """
        SELECT name FROM packages p
        WHERE name = ANY(:names) AND EXISTS (SELECT 1 FROM package_versions v WHERE v.package_id = p.id)
        """
    ).bindparams(bindparam("names", type_=_TEXTS))
    return set((await tx.execute(statement, {"names": list(names)})).scalars())


async def known_versions(tx: AsyncConnection, releases: Collection[tuple[str, str]]) -> set[tuple[str, str]]:
    """Those of the names and versions that have a row (packages_name_key, primary key)."""
    statement = text(
        """
        SELECT p.name, v.version
        FROM unnest(CAST(:names AS text[]), CAST(:versions AS text[])) AS asked (name, version)
        JOIN packages p ON p.name = asked.name
        JOIN package_versions v ON v.package_id = p.id AND v.version = asked.version
        """
    )
    values = {"names": [name for name, _ in releases], "versions": [version for _, version in releases]}
    return {(row.name, row.version) for row in await tx.execute(statement, values)}


async def states_of(tx: AsyncConnection, names: Sequence[str], official_handle: str) -> list[PackageState]:
    """The packages with all their rows, in byte order of names; unknown names are left out.

    In a transaction that reads one snapshot. Served by packages_name_key and the primary keys.
    """
    heads = list(
        (await tx.execute(_PACKAGES, {"names": list(names), "official": official_handle})).mappings()
    )
    if not heads:
        return []
    of_packages = {"ids": [head["id"] for head in heads]}
    advisories: defaultdict[tuple[UUID, str], list[AdvisoryRow]] = defaultdict(list)
    for row in (await tx.execute(_ADVISORIES, of_packages)).mappings():
        values = dict(row)
        advisories[values.pop("package_id"), values.pop("version")].append(AdvisoryRow(**values))
    versions: defaultdict[UUID, list[RowMapping]] = defaultdict(list)
    for row in (await tx.execute(_VERSIONS, of_packages)).mappings():
        versions[row["package_id"]].append(row)
    return [_state(head, versions[head["id"]], advisories) for head in heads]


def _state(head: RowMapping, versions: Sequence[RowMapping], advisories: dict[Any, Any]) -> PackageState:
    package = PackageRow(
        id=head["id"],
        name=head["name"],
        latest_version=head["latest_version"],
        is_official=head["is_official"],
        generation=head["generation"],
        versions=tuple(
            version_row(row, advisories.get((head["id"], row["version"]), [])) for row in versions
        ),
    )
    return PackageState(package, head["published_generation"], head["catalog_line"], head["dirty_s"])


async def oldest_catalog_change_s(tx: AsyncConnection) -> float | None:
    """How long the oldest change waits for the catalog, in seconds; None when it holds them all."""
    result = await tx.execute(
        text("SELECT EXTRACT(epoch FROM now() - min(created_at))::float8 FROM catalog_changes")
    )
    age: float | None = result.scalar_one()
    return age


async def staged_among(tx: AsyncConnection, checksums: Collection[str]) -> set[str]:
    """Those of the checksums that a version waits for in staging (version_state_staged_idx)."""
    statement = text(
        """
        SELECT v.cksum
        FROM version_state s JOIN package_versions v USING (package_id, version)
        WHERE s.staged AND v.cksum = ANY(:checksums)
        """
    ).bindparams(bindparam("checksums", type_=_TEXTS))
    return set((await tx.execute(statement, {"checksums": list(checksums)})).scalars())


async def try_staging_lock(tx: AsyncConnection, sha256: str) -> bool:
    """True if no publish relies on these staged bytes, and none will before the transaction ends."""
    result = await tx.execute(
        text("SELECT pg_try_advisory_xact_lock(:key)"), {"key": staging_lock_key(sha256)}
    )
    return bool(result.scalar_one())


async def lock_name(tx: AsyncConnection, name: str) -> None:
    """Nobody writes to the package, or creates it, until the transaction ends (contract, 8.3)."""
    await tx.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": package_lock_key(name)})
