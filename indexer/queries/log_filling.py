"""SQL for the beginning of a log, and for lines that were not handed over at publication."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from indexer.queries.packages import version_row
from indexer.rows import AdvisoryRow, RemovedRow, VersionRow
from shared.names import PackageName
from shared.statements import Connection, fetch

VERSIONS_PER_PAGE = 2000


async def begin_log(
    tx: AsyncConnection, origin: str, size: int, root: bytes, levels: Sequence[bytes]
) -> None:
    """Create the log's row, if there is none."""
    await tx.execute(
        text(
            """
            INSERT INTO log_state (origin, size, root, edge) VALUES (:origin, :size, :root, :edge)
            ON CONFLICT DO NOTHING
            """
        ),
        {"origin": origin, "size": size, "root": root, "edge": list(levels)},
    )


async def end_backfill(tx: AsyncConnection) -> None:
    """Record that publication hands over changed lines from now on."""
    await tx.execute(text("UPDATE log_state SET backfilled_at = now()"))


_BEHIND = text(
    """
    SELECT p.name FROM index_state s JOIN packages p ON p.id = s.package_id
    WHERE s.published_generation > s.lines_generation AND s.generation = s.published_generation
    ORDER BY s.package_id LIMIT :count
    """
)


async def packages_behind(tx: AsyncConnection, count: int) -> list[PackageName]:
    """Published packages whose lines were not compared with the log since (index_state_unlogged_idx).

    An older worker published them, or a worker without the log's key, or one during the backfill.
    """
    return list((await tx.execute(_BEHIND, {"count": count})).scalars())


async def mark_compared(tx: AsyncConnection, package_ids: Sequence[UUID]) -> None:
    """Record that the lines of these packages, which this transaction has locked, were handed over."""
    await tx.execute(
        text(
            """
            UPDATE index_state SET lines_generation = published_generation
            WHERE package_id = ANY(CAST(:ids AS uuid[]))
            """
        ),
        {"ids": list(package_ids)},
    )


async def mark_all_compared(tx: AsyncConnection) -> None:
    """Record that the backfill is about to read every row."""
    await tx.execute(text("UPDATE index_state SET lines_generation = published_generation"))


_PAST = text(
    """
    SELECT p.name, v.package_id, v.version, v.cksum, v.yanked, CAST(v.manifest AS text) AS manifest_json,
           v.signature_kind, v.signature_key_id, v.signature_bytes, v.scale_classes_supported,
           v.scale_tested, v.scale_test_evidence_ref, v.published_at,
           false AS staged, NULL AS upload_id, NULL AS metadata_digest, NULL AS line_digest,
           b.provenance,
           EXISTS (SELECT 1 FROM package_version_advisories a
                   WHERE a.package_id = v.package_id AND a.withdrawn_at IS NULL) AS has_advisories
    FROM package_versions v JOIN packages p ON p.id = v.package_id
    LEFT JOIN version_provenance b ON b.package_id = v.package_id AND b.version = v.version
    ORDER BY v.published_at, p.name COLLATE "C", v.version COLLATE "C"
    """
)


async def past_versions(tx: AsyncConnection) -> AsyncIterator[list[tuple[PackageName, VersionRow]]]:
    """All versions in the order of publication, one page at a time; sorts them all once."""
    result = await tx.stream(_PAST)
    async for page in result.mappings().partitions(VERSIONS_PER_PAGE):
        advisories = await _advisories_of(tx, {row["package_id"] for row in page if row["has_advisories"]})
        yield [
            (row["name"], version_row(row, advisories.get((row["package_id"], row["version"]), [])))
            for row in page
        ]


_ADVISORIES = """
    SELECT package_id, id, version, kind, severity, summary, details, url, created_at, withdrawn_at
    FROM package_version_advisories
    WHERE package_id = ANY(CAST($1 AS uuid[]))
    ORDER BY created_at, id
"""


async def _advisories_of(
    tx: Connection, package_ids: Collection[UUID]
) -> Mapping[tuple[UUID, str], list[AdvisoryRow]]:
    """All advisories by package and version, oldest first.

    Without ids there is no query.
    """
    found: defaultdict[tuple[UUID, str], list[AdvisoryRow]] = defaultdict(list)
    for row in await fetch(tx, _ADVISORIES, list(package_ids)) if package_ids else ():
        values = dict(row)
        found[values.pop("package_id"), values.pop("version")].append(AdvisoryRow(**values))
    return found


async def past_removals(tx: AsyncConnection) -> list[tuple[PackageName, RemovedRow]]:
    """All removed versions in the order of removal; there are few."""
    result = await tx.execute(
        text(
            """
            SELECT p.name, t.version, t.cksum FROM version_tombstones t JOIN packages p ON p.id = t.package_id
            ORDER BY t.removed_at, p.name COLLATE "C", t.version COLLATE "C"
            """
        )
    )
    return [(row.name, RemovedRow(row.version, row.cksum)) for row in result]
