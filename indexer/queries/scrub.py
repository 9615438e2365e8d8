"""SQL of the scrub: the archives to check next, and those that differ from their rows."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.names import PackageName
from shared.versions import VersionText


@dataclass(frozen=True, slots=True)
class ArchiveRow:
    """A published archive. cksum: SHA-256 of its bytes, 64 lower-case hex digits."""

    package_id: UUID
    name: PackageName
    version: VersionText
    cksum: str


_ARCHIVES = """
    SELECT v.package_id, p.name, v.version, v.cksum
    FROM packages p JOIN package_versions v ON v.package_id = p.id
    LEFT JOIN version_state s ON s.package_id = v.package_id AND s.version = v.version
    """
_BEHIND = text(
    f"""
    {_ARCHIVES}
    WHERE p.name COLLATE "C" >= :name AND NOT COALESCE(s.staged, false)
    AND (p.name COLLATE "C" > :name OR v.version COLLATE "C" > :version)
    ORDER BY p.name COLLATE "C", v.version COLLATE "C" LIMIT :limit
    """
)
_FINDINGS = text(
    f"""
    WITH due AS (
        UPDATE scrub_findings SET checked_at = now() WHERE (package_id, version) IN (
            SELECT package_id, version FROM scrub_findings WHERE checked_at < now() - CAST(:age AS interval)
            ORDER BY checked_at LIMIT :limit FOR UPDATE SKIP LOCKED)
        RETURNING package_id, version)
    {_ARCHIVES} WHERE (v.package_id, v.version) IN (SELECT package_id, version FROM due)
    """  # noqa: S608 - text of our own
)


async def take_next(tx: AsyncConnection, limit: int, round_pause: timedelta) -> list[ArchiveRow]:
    """Take the next published archives, in byte order of names and versions, before other workers do.

    Returns nothing from the end of a round until round_pause after the round began. Served by
    packages_name_bytes_idx and the primary keys.
    """
    statement = text("SELECT name, version, next_round_at <= now() AS is_due FROM scrub_progress FOR UPDATE")
    progress = (await tx.execute(statement)).one()
    is_beginning = not progress.name
    if is_beginning and not progress.is_due:
        return []
    found = await tx.execute(_BEHIND, {"name": progress.name, "version": progress.version, "limit": limit})
    archives = [ArchiveRow(**row._mapping) for row in found]
    name, version = (archives[-1].name, archives[-1].version) if archives else ("", "")
    statement = text("UPDATE scrub_progress SET name = :name, version = :version")
    await tx.execute(statement, {"name": name, "version": version})
    if is_beginning:
        await tx.execute(
            text("UPDATE scrub_progress SET next_round_at = now() + CAST(:pause AS interval)"),
            {"pause": round_pause},
        )
    return archives


async def take_findings(tx: AsyncConnection, limit: int, age: timedelta) -> list[ArchiveRow]:
    """Take the archives that differed when they were last checked, more than `age` ago (few rows)."""
    return [ArchiveRow(**row._mapping) for row in await tx.execute(_FINDINGS, {"age": age, "limit": limit})]


async def is_published(tx: AsyncConnection, archive: ArchiveRow) -> bool:
    """True if the row is unchanged, so that the archive should exist (primary keys)."""
    statement = text(
        f"{_ARCHIVES} WHERE v.package_id = :package_id AND v.version = :version AND v.cksum = :cksum"
    )
    values = {"package_id": archive.package_id, "version": archive.version, "cksum": archive.cksum}
    return (await tx.execute(statement, values)).first() is not None


async def record(tx: AsyncConnection, archive: ArchiveRow, kind: str) -> bool:
    """Record that an archive differs. True if that is new (primary key)."""
    statement = text(
        """
        INSERT INTO scrub_findings AS f (package_id, version, kind) VALUES (:package_id, :version, :kind)
        ON CONFLICT (package_id, version) DO UPDATE SET kind = :kind, checked_at = now()
        RETURNING f.xmax = 0 AS is_new
        """
    )
    values = {"package_id": archive.package_id, "version": archive.version, "kind": kind}
    return bool((await tx.execute(statement, values)).scalar_one())


async def forget(tx: AsyncConnection, archive: ArchiveRow) -> bool:
    """Delete the record that an archive differs. True if there was one (primary key)."""
    statement = text("DELETE FROM scrub_findings WHERE package_id = :package_id AND version = :version")
    values = {"package_id": archive.package_id, "version": archive.version}
    return (await tx.execute(statement, values)).rowcount > 0


async def count_findings(tx: AsyncConnection) -> int:
    """How many archives differ (few rows)."""
    return int((await tx.execute(text("SELECT count(*) FROM scrub_findings"))).scalar_one())
