"""SQL of the indexer: what is dirty, what a package looks like, the catalog. What was published: marks.py."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import ARRAY, RowMapping, Text, bindparam, text
from sqlalchemy.ext.asyncio import AsyncConnection

from indexer.rows import AdvisoryRow, PackageRow, PackageState, RemovedRow, SignatureRow, VersionRow
from shared.manifest import stored_manifest
from shared.names import PackageName

DIRTY_PAGE = 500
CATALOG_PAGE = 1000
CATALOG_LOCK = 0x7830375F63617461
# Longer than a store takes to copy an archive: what a dead worker had under way has ended by then.
LATE_COPY_S = 60.0

_TEXTS = ARRAY(Text)

# A crash of Postgres may lose what was marked as published just before; it is then published again.
_LOCK = """
    SELECT p.name, set_config('synchronous_commit', 'off', true)
    FROM index_state s JOIN packages p ON p.id = s.package_id
    WHERE p.name = ANY(CAST(:names AS text[])) FOR UPDATE OF s
    """
_WAIT_FOR_LOCK, _LOCK_FREE = text(_LOCK), text(f"{_LOCK} SKIP LOCKED")

_PACKAGES = text(
    """
    SELECT p.id, p.name, p.latest_version, COALESCE(s.generation, 1) AS generation,
           COALESCE(s.published_generation, 0) AS published_generation, s.catalog_line,
           EXTRACT(epoch FROM now() - s.dirty_since)::float8 AS dirty_s,
           EXISTS (SELECT 1 FROM package_owners o JOIN users u ON u.id = o.user_id
                   WHERE o.package_id = p.id AND u.handle = :official) AS is_official,
           EXISTS (SELECT 1 FROM package_version_advisories a
                   WHERE a.package_id = p.id AND a.withdrawn_at IS NULL) AS has_advisories,
           EXISTS (SELECT 1 FROM version_tombstones t WHERE t.package_id = p.id) AS has_removed
    FROM packages p LEFT JOIN index_state s ON s.package_id = p.id
    WHERE p.name = ANY(:names)
    ORDER BY p.name COLLATE "C"
    """
).bindparams(bindparam("names", type_=_TEXTS))

_VERSIONS = text(
    """
    SELECT v.*, COALESCE(s.staged, false) AS staged, s.metadata_digest
    FROM package_versions v LEFT JOIN version_state s USING (package_id, version)
    WHERE v.package_id = ANY(CAST(:ids AS uuid[]))
    """
)

_ADVISORIES = text(
    """
    SELECT package_id, id, version, kind, severity, summary, details, url, created_at
    FROM package_version_advisories
    WHERE package_id = ANY(CAST(:ids AS uuid[])) AND withdrawn_at IS NULL
    ORDER BY created_at, id
    """
)

_REMOVED = text(
    """
    SELECT package_id, version, cksum FROM version_tombstones
    WHERE package_id = ANY(CAST(:ids AS uuid[]))
    """
)


async def lock_packages(tx: AsyncConnection, names: Sequence[str], *, wait: bool) -> set[PackageName]:
    """Lock the index_state rows of packages until the transaction ends; those that are locked now.

    Writers raise the generation in this row, so nothing of a package commits while it is held. What it
    says is read by a statement of its own: one that waited for the lock would see other tables as they
    were before. The commit does not wait for the disk. wait: for who holds one, for which there must be
    one name only; else it is left out. Served by packages_name_key and the primary key.
    """
    result = await tx.execute(_WAIT_FOR_LOCK if wait else _LOCK_FREE, {"names": list(names)})
    return set(result.scalars())


async def states_of(tx: AsyncConnection, names: Sequence[str], official_handle: str) -> list[PackageState]:
    """The packages with all their rows, in byte order of names; unknown names are left out.

    In a transaction that reads one snapshot, or that holds their locks. Served by packages_name_key and
    the primary keys.
    """
    heads = list(
        (await tx.execute(_PACKAGES, {"names": list(names), "official": official_handle})).mappings()
    )
    if not heads:
        return []
    versions: defaultdict[UUID, list[RowMapping]] = defaultdict(list)
    for row in (await tx.execute(_VERSIONS, _of(heads))).mappings():
        versions[row["package_id"]].append(row)
    # Few packages have any: two statements less for the others.
    advisories = await _advisories(tx, [head for head in heads if head["has_advisories"]])
    removed = await _removed(tx, [head for head in heads if head["has_removed"]])
    return [_state(head, versions[head["id"]], advisories, removed.get(head["id"], ())) for head in heads]


def _of(heads: Sequence[RowMapping]) -> dict[str, list[UUID]]:
    return {"ids": [head["id"] for head in heads]}


async def _advisories(
    tx: AsyncConnection, heads: Sequence[RowMapping]
) -> Mapping[tuple[UUID, str], list[AdvisoryRow]]:
    """Advisories that hold, by package and version; in the order of a line."""
    found: defaultdict[tuple[UUID, str], list[AdvisoryRow]] = defaultdict(list)
    for row in (await tx.execute(_ADVISORIES, _of(heads))).mappings() if heads else ():
        values = dict(row)
        found[values.pop("package_id"), values.pop("version")].append(AdvisoryRow(**values))
    return found


async def _removed(tx: AsyncConnection, heads: Sequence[RowMapping]) -> Mapping[UUID, list[RemovedRow]]:
    """Removed versions by package."""
    found: defaultdict[UUID, list[RemovedRow]] = defaultdict(list)
    for row in (await tx.execute(_REMOVED, _of(heads))).mappings() if heads else ():
        found[row["package_id"]].append(RemovedRow(row["version"], row["cksum"]))
    return found


def _state(
    head: RowMapping,
    versions: Sequence[RowMapping],
    advisories: Mapping[tuple[UUID, str], Sequence[AdvisoryRow]],
    removed: Sequence[RemovedRow],
) -> PackageState:
    package = PackageRow(
        id=head["id"],
        name=head["name"],
        latest_version=head["latest_version"],
        is_official=head["is_official"],
        generation=head["generation"],
        versions=tuple(
            _version_row(row, advisories.get((head["id"], row["version"]), [])) for row in versions
        ),
        removed=tuple(removed),
    )
    return PackageState(package, head["published_generation"], head["catalog_line"], head["dirty_s"])


def _version_row(row: RowMapping, advisories: Sequence[AdvisoryRow]) -> VersionRow:
    kind = row["signature_kind"]
    signature = (
        SignatureRow(kind, row["signature_key_id"], row["signature_bytes"]) if kind is not None else None
    )
    return VersionRow(
        version=row["version"],
        cksum=row["cksum"],
        yanked=row["yanked"],
        manifest=stored_manifest(row["manifest"]),
        signature=signature,
        advisories=tuple(advisories),
        scale_classes_supported=tuple(row["scale_classes_supported"]),
        scale_tested=row["scale_tested"],
        scale_test_evidence_ref=row["scale_test_evidence_ref"],
        staged=row["staged"],
        metadata_digest=row["metadata_digest"],
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


_CATALOG_PAGE = text(
    """
    SELECT max(name) AS last, string_agg(line, ',' ORDER BY name) AS lines
    FROM (SELECT p.name COLLATE "C" AS name, s.catalog_line AS line
          FROM packages p JOIN index_state s ON s.package_id = p.id
          WHERE p.name COLLATE "C" > :after AND s.catalog_line IS NOT NULL
          ORDER BY p.name COLLATE "C" LIMIT :page) page
    """
)


async def catalog_lines(tx: AsyncConnection) -> AsyncIterator[bytes]:
    """Catalog lines of all published packages in byte order of names, many at a time, joined by commas.

    Pages are not of one snapshot: each line is as it was at the first page, or newer. Served by
    packages_name_bytes_idx.
    """
    after = ""
    while (page := (await tx.execute(_CATALOG_PAGE, {"after": after, "page": CATALOG_PAGE})).one()).lines:
        yield page.lines
        after = page.last


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


_IN_DOUBT_SINCE_REMOVAL = text(
    """
    SELECT DISTINCT p.name
    FROM version_tombstones t
    JOIN packages p ON p.id = t.package_id
    JOIN index_state s ON s.package_id = t.package_id
    WHERE s.generation = s.published_generation
      AND s.published_at < t.removed_at + make_interval(secs => :late_s)
      AND now() >= t.removed_at + make_interval(secs => :late_s)
    """
)


async def in_doubt_since_removal(tx: AsyncConnection) -> set[PackageName]:
    """Packages that were not published since a copy must have ended that a removed version may have had.

    A worker that lost its lock and died may have left one under way, and deletes have no condition.
    Reads version_tombstones, of which there are few, as a whole.
    """
    return set((await tx.execute(_IN_DOUBT_SINCE_REMOVAL, {"late_s": LATE_COPY_S})).scalars())


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
