"""SQL for commands that walk over the whole published tree: verify, repair, gc, reindex, export."""

from __future__ import annotations

from collections.abc import Collection
from typing import Literal

from sqlalchemy import ARRAY, Text, bindparam, text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.blobs import parse_staging_key
from shared.locks import package_lock_key, staging_lock_key
from shared.names import PackageName

_TEXTS = ARRAY(Text)


async def count_packages(tx: AsyncConnection, after: str = "") -> int:
    """How many packages come after the name `after` (packages_name_bytes_idx)."""
    result = await tx.execute(
        text('SELECT count(*) FROM packages WHERE name COLLATE "C" > :after'), {"after": after}
    )
    return int(result.scalar_one())


async def names_behind(tx: AsyncConnection, after: str, limit: int) -> list[PackageName]:
    """The next names after `after`, in byte order (packages_name_bytes_idx)."""
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


async def name_at(tx: AsyncConnection, place: int) -> str:
    """The name at this place in byte order, counted from 0; empty if there are fewer names."""
    statement = text('SELECT name FROM packages ORDER BY name COLLATE "C" OFFSET :place LIMIT 1')
    return str((await tx.execute(statement, {"place": place})).scalar_one_or_none() or "")


async def packages_among(tx: AsyncConnection, names: Collection[str]) -> list[PackageName]:
    """The names among these that belong to packages, in byte order (packages_name_key)."""
    statement = text('SELECT name FROM packages WHERE name = ANY(:names) ORDER BY name COLLATE "C"')
    bound = statement.bindparams(bindparam("names", type_=_TEXTS))
    return list((await tx.execute(bound, {"names": list(names)})).scalars())


async def known_names(tx: AsyncConnection, names: Collection[str]) -> set[str]:
    """The names among these whose packages have a version (packages_name_key, primary key)."""
    statement = text(
        """
        SELECT name FROM packages p
        WHERE name = ANY(:names) AND EXISTS (SELECT 1 FROM package_versions v WHERE v.package_id = p.id)
        """
    ).bindparams(bindparam("names", type_=_TEXTS))
    return set((await tx.execute(statement, {"names": list(names)})).scalars())


async def known_versions(tx: AsyncConnection, releases: Collection[tuple[str, str]]) -> set[tuple[str, str]]:
    """The names and versions among these that have a row (packages_name_key, primary key)."""
    return await _among(tx, "package_versions", releases)


async def removed_among(tx: AsyncConnection, releases: Collection[tuple[str, str]]) -> set[tuple[str, str]]:
    """The names and versions among these that were removed for legal reasons (primary key)."""
    return await _among(tx, "version_tombstones", releases)


async def _among(
    tx: AsyncConnection,
    table: Literal["package_versions", "version_tombstones"],
    releases: Collection[tuple[str, str]],
) -> set[tuple[str, str]]:
    # OFFSET 0 makes Postgres look each one up. Otherwise it may choose a join that compares each requested
    # version with every version of the package.
    statement = text(
        f"""
        SELECT asked.name, asked.version
        FROM unnest(CAST(:names AS text[]), CAST(:versions AS text[])) AS asked (name, version)
        CROSS JOIN LATERAL (SELECT id FROM packages WHERE name = asked.name OFFSET 0) p
        CROSS JOIN LATERAL (
            SELECT FROM {table} v WHERE v.package_id = p.id AND v.version = asked.version OFFSET 0
        ) v
        """  # noqa: S608 - one of two tables
    )
    values = {"names": [name for name, _ in releases], "versions": [version for _, version in releases]}
    return {(row.name, row.version) for row in await tx.execute(statement, values)}


async def oldest_catalog_change_s(tx: AsyncConnection) -> float | None:
    """Seconds that the oldest change has waited for the catalog; None if the catalog is up to date."""
    result = await tx.execute(
        text("SELECT EXTRACT(epoch FROM now() - min(created_at))::float8 FROM catalog_changes")
    )
    age: float | None = result.scalar_one()
    return age


async def is_awaited(tx: AsyncConnection, key: str) -> bool:
    """True if a version still needs this staged upload (version_state_staged_idx)."""
    if (upload := parse_staging_key(key)) is None:
        return False
    sha256, upload_id = upload
    statement = text(
        """
        SELECT EXISTS (
            SELECT 1 FROM version_state s JOIN package_versions v USING (package_id, version)
            WHERE s.staged AND v.cksum = :sha256 AND s.upload_id IS NOT DISTINCT FROM :upload_id)
        """
    )
    return bool((await tx.execute(statement, {"sha256": sha256, "upload_id": upload_id})).scalar_one())


async def retire_upload(tx: AsyncConnection, upload_id: str) -> None:
    """Record that no publish may rely on this upload any more (primary key)."""
    statement = text("INSERT INTO collected_uploads (upload_id) VALUES (:upload_id) ON CONFLICT DO NOTHING")
    await tx.execute(statement, {"upload_id": upload_id})


async def try_staging_lock(tx: AsyncConnection, sha256: str) -> bool:
    """Try to lock staged bytes: True if no publish relies on them, nor will until the transaction ends."""
    result = await tx.execute(
        text("SELECT pg_try_advisory_xact_lock(:key)"), {"key": staging_lock_key(sha256)}
    )
    return bool(result.scalar_one())


async def lock_name(tx: AsyncConnection, name: str) -> None:
    """Keep others from changing or creating the package until the transaction ends (contract, 8.3)."""
    await tx.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": package_lock_key(name)})
