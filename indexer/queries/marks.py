"""SQL that records what was published: one statement for many packages, with arrays of equal length."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from indexer.listing import Listing
from shared.versions import VersionText

_MARK = text(
    """
    WITH put AS (
        SELECT * FROM unnest(CAST(:package_ids AS uuid[]), CAST(:generations AS bigint[]),
                             CAST(:lines AS bytea[])) AS put (package_id, generation, line)
    ), put_versions AS (
        INSERT INTO version_state (package_id, version, staged, metadata_digest)
        SELECT package_id, version, false, digest
        FROM unnest(CAST(:version_ids AS uuid[]), CAST(:versions AS text[]), CAST(:digests AS text[]))
             AS put (package_id, version, digest)
        ON CONFLICT (package_id, version)
        DO UPDATE SET staged = false, metadata_digest = EXCLUDED.metadata_digest
    ), changed AS (
        INSERT INTO catalog_changes (package_id) SELECT package_id FROM put
    ), pages_changed AS (
        INSERT INTO page_changes (package_id) SELECT package_id FROM put WHERE :has_pages
    ), outdated AS (
        DELETE FROM package_requirements r USING put WHERE r.package_id = put.package_id
    )
    UPDATE index_state s
    SET published_generation = put.generation, catalog_line = put.line,
        published_at = now(), dirty_since = NULL,
        lines_generation = CASE
            WHEN :is_logging AND EXISTS (SELECT FROM log_state WHERE backfilled_at IS NOT NULL)
            THEN put.generation ELSE s.lines_generation END
    FROM put WHERE s.package_id = put.package_id
    RETURNING EXISTS (SELECT FROM webhook_deliveries d
                      WHERE d.package_id = s.package_id AND d.done_at IS NULL) AS has_event
    """
)

_PUT_LISTINGS = text(
    """
    WITH listing AS MATERIALIZED (
        SELECT * FROM jsonb_to_recordset(CAST(:listings AS jsonb)) AS listing (
            package_id uuid, name text, latest_version text, is_official boolean, description text,
            modules_count integer, facets text[], archetypes text[], archetype_document text,
            scale_tested boolean)
    ), listed AS (
        INSERT INTO package_listings (package_id, name, latest_version, is_official, description,
                                      modules_count, facets, archetypes, archetype_document)
        SELECT package_id, name, latest_version, is_official, description,
               modules_count, facets, archetypes, archetype_document
        FROM listing
        ON CONFLICT (package_id) DO UPDATE
        SET latest_version = EXCLUDED.latest_version, is_official = EXCLUDED.is_official,
            description = EXCLUDED.description, modules_count = EXCLUDED.modules_count,
            facets = EXCLUDED.facets, archetypes = EXCLUDED.archetypes,
            archetype_document = EXCLUDED.archetype_document
    ), requiring AS (
        INSERT INTO package_requirements (required, name, requirement, package_id)
        SELECT * FROM unnest(CAST(:required AS text[]), CAST(:names AS text[]),
                             CAST(:requirements AS text[]), CAST(:package_ids AS uuid[]))
    )
    INSERT INTO search_names (name, scale_tested) SELECT name, scale_tested FROM listing
    ON CONFLICT (name) DO UPDATE SET scale_tested = EXCLUDED.scale_tested
    WHERE search_names.scale_tested <> EXCLUDED.scale_tested
    """
)


async def mark(
    tx: AsyncConnection,
    packages: Sequence[tuple[UUID, int, bytes]],
    versions: Sequence[tuple[UUID, VersionText, str | None]],
    *,
    is_logging: bool,
    has_pages: bool,
) -> bool:
    """Record the published state, and delete the packages' requirements (primary keys).

    True if a webhook waits for one of the packages (webhook_deliveries_of_package_idx).

    packages: each with its generation, and its line for the next catalog. versions: those whose files
    were just put, so that none is staged any more, each with the digest of its metadata. is_logging: the
    lines that changed are handed to the transparency log in this transaction (queries/log.py). has_pages: the
    packages' HTML pages have to be rendered.
    """
    package_ids, generations, lines = _columns(packages, 3)
    version_ids, texts, digests = _columns(versions, 3)
    put = {
        "package_ids": package_ids,
        "generations": generations,
        "lines": lines,
        "is_logging": is_logging,
        "has_pages": has_pages,
    }
    values = {**put, "version_ids": version_ids, "versions": texts, "digests": digests}
    return any((await tx.execute(_MARK, values)).scalars())


async def put_listings(tx: AsyncConnection, listings: Sequence[tuple[UUID, Listing]]) -> None:
    """Write the rows for search, archetypes and reverse dependencies of marked packages (primary keys).

    Call this last in a transaction, because names that are new to search lock the totals of their grams.
    """
    rows = [_listing_row(package_id, listing) for package_id, listing in listings]
    requirements = [
        (required.name, listing.name, required.requirement, package_id)
        for package_id, listing in listings
        for required in listing.requires
    ]
    required, names, texts, package_ids = _columns(requirements, 4)
    values = {"required": required, "names": names, "requirements": texts, "package_ids": package_ids}
    await tx.execute(_PUT_LISTINGS, {**values, "listings": json.dumps(rows)})


def _listing_row(package_id: UUID, listing: Listing) -> dict[str, Any]:
    return {
        "package_id": str(package_id),
        "name": listing.name,
        "latest_version": listing.latest_version,
        "is_official": listing.is_official,
        "description": listing.description,
        "modules_count": listing.modules_count,
        "facets": listing.facets,
        "archetypes": listing.archetypes,
        "archetype_document": listing.archetype_document,
        "scale_tested": listing.scale_tested,
    }


def _columns(rows: Sequence[tuple[Any, ...]], count: int) -> list[list[Any]]:
    """The rows as one list per column."""
    return [[row[place] for row in rows] for place in range(count)]
