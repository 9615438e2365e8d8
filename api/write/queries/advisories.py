"""SQL on advisories of versions."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.tables import package_version_advisories as advisories


@dataclass(frozen=True, slots=True)
class StoredAdvisory:
    """A stored advisory, withdrawn or not. details: blank when there are none."""

    id: UUID
    kind: str
    severity: str
    summary: str
    url: str | None
    details: str
    created_at: datetime
    withdrawn_at: datetime | None


_COLUMNS = (
    advisories.c.id,
    advisories.c.kind,
    advisories.c.severity,
    advisories.c.summary,
    advisories.c.url,
    advisories.c.details,
    advisories.c.created_at,
    advisories.c.withdrawn_at,
)


async def count(tx: AsyncConnection, package_id: UUID, version: str) -> tuple[int, int, int]:
    """How many advisories of a version are in force, the bytes of their texts, and how many there are.

    By …_package_id_version_idx.
    """
    in_force = advisories.c.withdrawn_at.is_(None)
    size = sum(
        (func.octet_length(func.coalesce(column, "")) for column in (advisories.c.details, advisories.c.url)),
        func.octet_length(advisories.c.summary),
    )
    statement = select(
        func.count().filter(in_force),
        func.coalesce(func.sum(size).filter(in_force), 0),
        func.count(advisories.c.id),
    ).where(advisories.c.package_id == package_id, advisories.c.version == version)
    number, size_bytes, ever = (await tx.execute(statement)).one()
    return number, int(size_bytes), ever


async def find(
    tx: AsyncConnection, package_id: UUID, version: str, advisory_id: UUID
) -> StoredAdvisory | None:
    """The advisory, if it is one of this version (primary key)."""
    statement = select(*_COLUMNS).where(
        advisories.c.id == advisory_id,
        advisories.c.package_id == package_id,
        advisories.c.version == version,
    )
    row = (await tx.execute(statement)).one_or_none()
    return StoredAdvisory(**row._mapping) if row is not None else None


async def add(
    tx: AsyncConnection,
    package_id: UUID,
    version: str,
    *,
    kind: str,
    severity: str,
    summary: str,
    url: str | None,
    details: str,
    created_by: UUID,
) -> StoredAdvisory:
    """Insert an advisory of a version; the whole row."""
    statement = insert(advisories).values(
        package_id=package_id,
        version=version,
        kind=kind,
        severity=severity,
        summary=summary,
        url=url,
        details=details,
        created_by=created_by,
    )
    row = (await tx.execute(statement.returning(*_COLUMNS))).one()
    return StoredAdvisory(**row._mapping)


async def withdraw(tx: AsyncConnection, advisory_id: UUID, withdrawn_by: UUID) -> StoredAdvisory:
    """Withdraw an advisory that is in force; the whole row (primary key)."""
    statement = (
        update(advisories)
        .where(advisories.c.id == advisory_id, advisories.c.withdrawn_at.is_(None))
        .values(withdrawn_at=func.now(), withdrawn_by=withdrawn_by)
    )
    row = (await tx.execute(statement.returning(*_COLUMNS))).one()
    return StoredAdvisory(**row._mapping)
