"""SQL for walks over the whole published tree: verify, repair, collect, reindex, export."""

from __future__ import annotations

from collections.abc import Collection
from typing import Literal

from sqlalchemy import ARRAY, Text, bindparam, text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.locks import package_lock_key, staging_lock_key
from shared.names import PackageName

_TEXTS = ARRAY(Text)


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
    return await _among(tx, "package_versions", releases)


async def removed_among(tx: AsyncConnection, releases: Collection[tuple[str, str]]) -> set[tuple[str, str]]:
    """Those of the names and versions that were removed for legal reasons (primary key)."""
    return await _among(tx, "version_tombstones", releases)


async def _among(
    tx: AsyncConnection,
    table: Literal["package_versions", "version_tombstones"],
    releases: Collection[tuple[str, str]],
) -> set[tuple[str, str]]:
    statement = text(
        f"""
        SELECT p.name, v.version
        FROM unnest(CAST(:names AS text[]), CAST(:versions AS text[])) AS asked (name, version)
        JOIN packages p ON p.name = asked.name
        JOIN {table} v ON v.package_id = p.id AND v.version = asked.version
        """  # noqa: S608 - one of two tables
    )
    values = {"names": [name for name, _ in releases], "versions": [version for _, version in releases]}
    return {(row.name, row.version) for row in await tx.execute(statement, values)}


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
