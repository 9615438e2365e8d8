"""SQL on versions of packages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import exists, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.provenance import Provenance
from shared.tables import package_versions, version_state


@dataclass(frozen=True, slots=True)
class VersionSummary:
    """A version as package details list it. provenance: the build that published it, None for a person."""

    version: str
    cksum: str
    yanked: bool
    published_at: datetime
    provenance: Provenance | None = None


@dataclass(frozen=True, slots=True)
class ScaleRow:
    """The scale columns of a version."""

    scale_classes_supported: Sequence[str]
    scale_tested: bool
    scale_test_evidence_ref: str | None


async def is_published(tx: AsyncConnection, package_id: UUID, version: str) -> bool:
    """True if the version has a row (primary key)."""
    row = exists().where(package_versions.c.package_id == package_id, package_versions.c.version == version)
    return bool((await tx.execute(select(row))).scalar_one())


async def summaries(tx: AsyncConnection, package_id: UUID) -> list[VersionSummary]:
    """Every version of a package, in no order (primary key)."""
    columns = (
        package_versions.c.version,
        package_versions.c.cksum,
        package_versions.c.yanked,
        package_versions.c.published_at,
    )
    result = await tx.execute(select(*columns).where(package_versions.c.package_id == package_id))
    return [VersionSummary(**row._mapping) for row in result]


async def is_yanked(tx: AsyncConnection, package_id: UUID, version: str) -> bool | None:
    """True if the version is yanked; None if there is no such version (primary key)."""
    statement = select(package_versions.c.yanked).where(
        package_versions.c.package_id == package_id, package_versions.c.version == version
    )
    yanked: bool | None = (await tx.execute(statement)).scalar_one_or_none()
    return yanked


async def set_yanked(tx: AsyncConnection, package_id: UUID, version: str, yanked: bool) -> None:
    """Yank or restore a version (primary key)."""
    await tx.execute(
        update(package_versions)
        .where(package_versions.c.package_id == package_id, package_versions.c.version == version)
        .values(yanked=yanked)
    )


async def not_yanked(tx: AsyncConnection, package_id: UUID) -> list[str]:
    """The versions that are not yanked, in no order (primary key)."""
    statement = select(package_versions.c.version).where(
        package_versions.c.package_id == package_id, package_versions.c.yanked.is_(False)
    )
    return list((await tx.execute(statement)).scalars())


async def scale_of(tx: AsyncConnection, package_id: UUID, version: str) -> ScaleRow | None:
    """The scale columns of a version; None when there is no such version (primary key)."""
    statement = select(
        package_versions.c.scale_classes_supported,
        package_versions.c.scale_tested,
        package_versions.c.scale_test_evidence_ref,
    ).where(package_versions.c.package_id == package_id, package_versions.c.version == version)
    row = (await tx.execute(statement)).one_or_none()
    return ScaleRow(**row._mapping) if row is not None else None


async def set_scale_evidence(tx: AsyncConnection, package_id: UUID, version: str, evidence_ref: str) -> None:
    """Store evidence, and mark the version as tested (primary key)."""
    await tx.execute(
        update(package_versions)
        .where(package_versions.c.package_id == package_id, package_versions.c.version == version)
        .values(scale_tested=True, scale_test_evidence_ref=evidence_ref)
    )


async def forget_documents(tx: AsyncConnection, package_id: UUID) -> None:
    """Forget which metadata documents were put, so that the next publication puts all (primary key).

    Call it after raise_generation, which waits for a publication under way; that would overwrite this.
    """
    forgotten = update(version_state).where(version_state.c.package_id == package_id)
    await tx.execute(forgotten.values(metadata_digest=None))
