"""SQL that records what was published: one statement for many packages, with arrays of equal length."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from indexer.listing import Listing
from indexer.queries.log import HAND_OVER, columns_of
from indexer.rows import ChangedLine
from shared.statements import Connection, fetch
from shared.versions import VersionText


@dataclass(frozen=True, slots=True)
class Mark:
    """A package that was published. line: for the next catalog. listing: for search, archetypes, dependents.

    Both are None for a private package, which no public list has.

    digests: of the versions whose files were just put, so that none is staged any more, each with the digest
    of its metadata.
    """

    package_id: UUID
    generation: int
    line: bytes | None
    digests: Mapping[VersionText, str | None]
    listing: Listing | None


# A private package changes the catalog only when it leaves it. A catalog with the same bytes would be purged
# at the edge, whose next copy would tell by its age that something private has changed.
#
# A statement sees none of its own changes, so requirements that stay are neither deleted nor inserted. Names
# that are new to search lock the totals of their grams; its trigger runs last.
_MARK = f"""
    WITH put AS (
        SELECT * FROM unnest(CAST($1 AS uuid[]), CAST($2 AS bigint[]), CAST($3 AS bytea[]))
             AS put (package_id, generation, line)
    ), put_versions AS (
        INSERT INTO version_state (package_id, version, staged, metadata_digest)
        SELECT package_id, version, false, digest
        FROM unnest(CAST($4 AS uuid[]), CAST($5 AS text[]), CAST($6 AS text[]))
             AS put (package_id, version, digest)
        ON CONFLICT (package_id, version)
        DO UPDATE SET staged = false, metadata_digest = EXCLUDED.metadata_digest
    ), changed AS (
        INSERT INTO catalog_changes (package_id) SELECT package_id FROM put
        WHERE line IS NOT NULL
           OR EXISTS (SELECT FROM index_state was
                      WHERE was.package_id = put.package_id AND was.catalog_line IS NOT NULL)
    ), pages_changed AS (
        INSERT INTO page_changes (package_id) SELECT package_id FROM put WHERE $13
    ), listing AS MATERIALIZED (
        SELECT * FROM jsonb_to_recordset(CAST($7 AS jsonb)) AS listing (
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
    ), required AS MATERIALIZED (
        SELECT * FROM unnest(CAST($8 AS text[]), CAST($9 AS text[]), CAST($10 AS text[]), CAST($11 AS uuid[]))
             AS required (required, name, requirement, package_id)
    ), outdated AS (
        DELETE FROM package_requirements r USING put
        WHERE r.package_id = put.package_id
          AND (r.required, r.name, r.requirement) NOT IN (SELECT required, name, requirement FROM required)
    ), requiring AS (
        INSERT INTO package_requirements (required, name, requirement, package_id) SELECT * FROM required
        ON CONFLICT DO NOTHING
    ), searchable AS (
        INSERT INTO search_names (name, scale_tested) SELECT name, scale_tested FROM listing
        ON CONFLICT (name) DO UPDATE SET scale_tested = EXCLUDED.scale_tested
        WHERE search_names.scale_tested <> EXCLUDED.scale_tested
    ), line AS (
        SELECT * FROM unnest(CAST($14 AS text[]), CAST($15 AS text[]),
                             CAST($16 AS bytea[]), CAST($17 AS bytea[]))
             WITH ORDINALITY AS line (name, version, digest, entry, place)
        WHERE EXISTS (SELECT FROM log_state WHERE backfilled_at IS NOT NULL)
    ), {HAND_OVER}
    UPDATE index_state s
    SET published_generation = put.generation, catalog_line = put.line,
        published_at = now(), dirty_since = NULL,
        lines_generation = CASE
            WHEN $12 AND EXISTS (SELECT FROM log_state WHERE backfilled_at IS NOT NULL)
            THEN put.generation ELSE s.lines_generation END
    FROM put WHERE s.package_id = put.package_id
    RETURNING EXISTS (SELECT FROM webhook_deliveries d
                      WHERE d.package_id = s.package_id AND d.done_at IS NULL) AS has_event
"""  # noqa: S608 - no value is in the text


async def mark(
    tx: Connection,
    put: Sequence[Mark],
    lines: Sequence[ChangedLine] = (),
    *,
    is_logging: bool,
    has_pages: bool,
) -> bool:
    """Record what was published, and the rows for search, archetypes and dependents (primary keys).

    True if a webhook waits for one of the packages (webhook_deliveries_of_package_idx).

    is_logging: lines has the lines that changed, which are handed to the transparency log (queries/log.py).
    has_pages: the packages' HTML pages have to be rendered. Call this last in a transaction, because names
    that are new to search lock the totals of their grams.
    """
    versions = [(each.package_id, *version) for each in put for version in each.digests.items()]
    listings = [(each.package_id, each.listing) for each in put if each.listing is not None]
    requirements = [
        (required.name, listing.name, required.requirement, package_id)
        for package_id, listing in listings
        for required in listing.requires
    ]
    marked = await fetch(
        tx,
        _MARK,
        *_columns([(each.package_id, each.generation, each.line) for each in put], 3),
        *_columns(versions, 3),
        json.dumps([_listing_row(*listing) for listing in listings]),
        *_columns(requirements, 4),
        is_logging,
        has_pages,
        *columns_of(lines),
    )
    return any(row["has_event"] for row in marked)


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
