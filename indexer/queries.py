"""All SQL of the indexer: what is dirty, what a package looks like, what was published."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import ARRAY, RowMapping, Text, bindparam, text
from sqlalchemy.ext.asyncio import AsyncConnection

from indexer.listing import Listing
from indexer.rows import AdvisoryRow, PackageRow, RemovedRow, SignatureRow, VersionRow
from shared.names import PackageName
from shared.versions import VersionText

DIRTY_PAGE = 500
CATALOG_LOCK = 0x7830375F63617461

_LOCK_STATE = text(
    """
    SELECT 1 FROM index_state WHERE package_id = (SELECT id FROM packages WHERE name = :name) FOR UPDATE
    """
)

_PACKAGE = text(
    """
    SELECT p.id, p.name, p.latest_version, s.generation, s.published_generation,
           EXISTS (SELECT 1 FROM package_owners o JOIN users u ON u.id = o.user_id
                   WHERE o.package_id = p.id AND u.handle = :official) AS is_official
    FROM index_state s JOIN packages p ON p.id = s.package_id
    WHERE p.name = :name
    """
)

_VERSIONS = text(
    """
    SELECT v.*, COALESCE(s.staged, false) AS staged, s.metadata_digest
    FROM package_versions v LEFT JOIN version_state s USING (package_id, version)
    WHERE v.package_id = :package_id
    """
)

_ADVISORIES = text(
    """
    SELECT id, version, kind, severity, summary, details, url, created_at
    FROM package_version_advisories
    WHERE package_id = :package_id AND withdrawn_at IS NULL
    ORDER BY created_at, id
    """
)

_REMOVED = text("SELECT version, cksum FROM version_tombstones WHERE package_id = :package_id")


async def lock_package(tx: AsyncConnection, name: PackageName, official_handle: str) -> RowMapping | None:
    """The package with its index_state row locked until the transaction ends; None if unknown.

    Writers raise the generation in this row, so nothing of the package commits while it is held. It is
    read by a statement of its own: one that waited for the lock would see the other tables as they were
    before. Served by packages_name_key and the primary keys.
    """
    await tx.execute(_LOCK_STATE, {"name": name})
    result = await tx.execute(_PACKAGE, {"name": name, "official": official_handle})
    return result.mappings().one_or_none()


async def read_package(tx: AsyncConnection, locked: RowMapping) -> PackageRow:
    """The locked package with its versions, advisories and removed versions.

    Served by primary keys and …_package_id_withdrawn_at_idx.
    """
    of_package = {"package_id": locked["id"]}
    advisories: dict[str, list[AdvisoryRow]] = {}
    for row in (await tx.execute(_ADVISORIES, of_package)).mappings():
        values = dict(row)
        advisories.setdefault(values.pop("version"), []).append(AdvisoryRow(**values))
    versions = (await tx.execute(_VERSIONS, of_package)).mappings()
    removed = (await tx.execute(_REMOVED, of_package)).mappings()
    return PackageRow(
        id=locked["id"],
        name=locked["name"],
        latest_version=locked["latest_version"],
        is_official=locked["is_official"],
        generation=locked["generation"],
        versions=tuple(version_row(row, advisories.get(row["version"], [])) for row in versions),
        removed=tuple(RemovedRow(**row) for row in removed),
    )


def version_row(row: RowMapping, advisories: Sequence[AdvisoryRow]) -> VersionRow:
    kind = row["signature_kind"]
    signature = (
        SignatureRow(kind, row["signature_key_id"], row["signature_bytes"]) if kind is not None else None
    )
    return VersionRow(
        version=row["version"],
        cksum=row["cksum"],
        yanked=row["yanked"],
        manifest=row["manifest"],
        signature=signature,
        advisories=tuple(advisories),
        scale_classes_supported=tuple(row["scale_classes_supported"]),
        scale_tested=row["scale_tested"],
        scale_test_evidence_ref=row["scale_test_evidence_ref"],
        staged=row["staged"],
        metadata_digest=row["metadata_digest"],
    )


async def mark_published(tx: AsyncConnection, package: PackageRow, catalog_line: bytes) -> None:
    """Record that storage holds the package's generation, and its catalog line for the next catalog."""
    await tx.execute(
        text("INSERT INTO catalog_changes (package_id) VALUES (:package_id)"), {"package_id": package.id}
    )
    await tx.execute(
        text(
            """
            UPDATE index_state
            SET published_generation = :generation, catalog_line = :line,
                published_at = now(), dirty_since = NULL
            WHERE package_id = :package_id
            """
        ),
        {"package_id": package.id, "generation": package.generation, "line": catalog_line},
    )


_PUT_LISTING = text(
    """
    INSERT INTO package_listings (package_id, name, latest_version, is_official, description,
                                  modules_count, facets, archetypes, archetype_document)
    VALUES (:package_id, :name, :latest_version, :is_official, :description,
            :modules_count, :facets, :archetypes, :archetype_document)
    ON CONFLICT (package_id) DO UPDATE
    SET latest_version = EXCLUDED.latest_version, is_official = EXCLUDED.is_official,
        description = EXCLUDED.description, modules_count = EXCLUDED.modules_count,
        facets = EXCLUDED.facets, archetypes = EXCLUDED.archetypes,
        archetype_document = EXCLUDED.archetype_document
    """
).bindparams(bindparam("facets", type_=ARRAY(Text)), bindparam("archetypes", type_=ARRAY(Text)))

_PUT_SEARCH_NAME = text(
    """
    INSERT INTO search_names (name, scale_tested) VALUES (:name, :scale_tested)
    ON CONFLICT (name) DO UPDATE SET scale_tested = EXCLUDED.scale_tested
    WHERE search_names.scale_tested <> EXCLUDED.scale_tested
    """
)

_PUT_REQUIREMENT = text(
    """
    INSERT INTO package_requirements (required, name, requirement, package_id)
    VALUES (:required, :name, :requirement, :package_id)
    """
)


async def put_listing(tx: AsyncConnection, package_id: UUID, listing: Listing) -> None:
    """Record what search, archetypes and reverse dependencies say of a package (primary keys).

    The last thing a transaction does: a name that is new to search locks the totals of its grams.
    """
    await tx.execute(
        _PUT_LISTING,
        {
            "package_id": package_id,
            "name": listing.name,
            "latest_version": listing.latest_version,
            "is_official": listing.is_official,
            "description": listing.description,
            "modules_count": listing.modules_count,
            "facets": list(listing.facets),
            "archetypes": list(listing.archetypes),
            "archetype_document": listing.archetype_document,
        },
    )
    await _replace_requirements(tx, package_id, listing)
    await tx.execute(_PUT_SEARCH_NAME, {"name": listing.name, "scale_tested": listing.scale_tested})


async def _replace_requirements(tx: AsyncConnection, package_id: UUID, listing: Listing) -> None:
    """Record what the latest version requires, and nothing else (package_requirements_package_id_idx)."""
    await tx.execute(
        text("DELETE FROM package_requirements WHERE package_id = :package_id"), {"package_id": package_id}
    )
    if not listing.requires:
        return
    await tx.execute(
        _PUT_REQUIREMENT,
        [
            {
                "required": required.name,
                "name": listing.name,
                "requirement": required.requirement,
                "package_id": package_id,
            }
            for required in listing.requires
        ],
    )


async def mark_versions(
    tx: AsyncConnection, package_id: UUID, digests: Mapping[VersionText, str | None]
) -> None:
    """Record, for versions whose files were just put, that they are promoted, and their metadata digest."""
    if not digests:
        return
    await tx.execute(
        text(
            """
            INSERT INTO version_state (package_id, version, staged, metadata_digest)
            VALUES (:package_id, :version, false, :digest)
            ON CONFLICT (package_id, version)
            DO UPDATE SET staged = false, metadata_digest = EXCLUDED.metadata_digest
            """
        ),
        [
            {"package_id": package_id, "version": version, "digest": digest}
            for version, digest in digests.items()
        ],
    )


async def dirty_packages(tx: AsyncConnection, after: str) -> Sequence[PackageName]:
    """Up to a page of packages with unpublished changes, in byte order of names, behind `after`.

    Served by index_state_dirty_idx, which holds only dirty rows.
    """
    result = await tx.execute(
        text(
            """
            SELECT p.name
            FROM index_state s JOIN packages p ON p.id = s.package_id
            WHERE s.generation > s.published_generation AND p.name COLLATE "C" > :after
            ORDER BY p.name COLLATE "C" LIMIT :page
            """
        ),
        {"after": after, "page": DIRTY_PAGE},
    )
    return list(result.scalars())


@dataclass(frozen=True, slots=True)
class Backlog:
    """What waits to be published. Ages in seconds, of the oldest; 0 when nothing waits."""

    dirty: int
    oldest_dirty_s: float
    catalog_behind_s: float


_BACKLOG = text(
    """
    SELECT count(*) AS dirty,
           COALESCE(EXTRACT(EPOCH FROM now() - min(dirty_since)), 0)::float8 AS oldest_dirty_s,
           COALESCE(EXTRACT(EPOCH FROM now() - (SELECT created_at FROM catalog_changes ORDER BY id LIMIT 1)),
                    0)::float8 AS catalog_behind_s
    FROM index_state WHERE generation > published_generation
    """
)


async def backlog(tx: AsyncConnection) -> Backlog:
    """How much waits (index_state_dirty_idx, which holds only dirty rows; catalog_changes_pkey)."""
    row = (await tx.execute(_BACKLOG)).one()
    return Backlog(row.dirty, row.oldest_dirty_s, row.catalog_behind_s)


async def try_catalog_lock(tx: AsyncConnection) -> bool:
    """True if this transaction is now the only one that builds the catalog; never waits."""
    result = await tx.execute(text("SELECT pg_try_advisory_xact_lock(:key)"), {"key": CATALOG_LOCK})
    return bool(result.scalar_one())


async def take_catalog_changes(tx: AsyncConnection) -> int:
    """Remove the rows that make the catalog dirty and say how many there were.

    They come back if the transaction fails. Lines read after this hold every change taken here.
    """
    return (await tx.execute(text("DELETE FROM catalog_changes"))).rowcount


async def catalog_lines(tx: AsyncConnection) -> AsyncIterator[bytes]:
    """Every published package's catalog line in byte order of names (packages_name_bytes_idx)."""
    result = await tx.stream(
        text(
            """
            SELECT s.catalog_line
            FROM packages p JOIN index_state s ON s.package_id = p.id
            WHERE s.catalog_line IS NOT NULL
            ORDER BY p.name COLLATE "C"
            """
        )
    )
    async for row in result:
        yield row.catalog_line


async def raise_generations(tx: AsyncConnection, names: Sequence[str]) -> int:
    """Make packages dirty, all of them when no name is given, and say how many there were."""
    where = "WHERE p.name IN :names" if names else ""
    statement = text(
        f"""
        INSERT INTO index_state (package_id, dirty_since)
        SELECT p.id, now() FROM packages p {where} ORDER BY p.id
        ON CONFLICT (package_id) DO UPDATE
        SET generation = index_state.generation + 1, dirty_since = COALESCE(index_state.dirty_since, now())
        """  # noqa: S608 - no value is in the text
    )
    if not names:
        return (await tx.execute(statement)).rowcount
    return (
        await tx.execute(statement.bindparams(bindparam("names", expanding=True)), {"names": list(names)})
    ).rowcount


async def put_again(tx: AsyncConnection, names: Sequence[str]) -> None:
    """Make packages dirty and forget which of their documents were put (primary keys)."""
    await raise_generations(tx, names)
    await tx.execute(
        text(
            """
            UPDATE version_state SET metadata_digest = NULL
            WHERE package_id IN (SELECT id FROM packages WHERE name IN :names)
            """
        ).bindparams(bindparam("names", expanding=True)),
        {"names": list(names)},
    )
