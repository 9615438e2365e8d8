"""SQL that finds dirty packages and reads the rows of packages. marks.py records what was published."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final
from uuid import UUID

import msgspec
from sqlalchemy import bindparam, text
from sqlalchemy.ext.asyncio import AsyncConnection

from indexer.rows import AdvisoryRow, PackageRow, PackageState, RemovedRow, SignatureRow, VersionRow
from indexer.version_memory import Facts, VersionMemory
from shared.names import PackageName
from shared.provenance import stored_provenance
from shared.statements import Connection, Row, fetch

DIRTY_PAGE = 500

# The columns of versions and of their states, each of which comes as an array: for an array of rows, Postgres
# takes four times as long and the driver twice. The classes come as JSON, because arrays of different lengths
# cannot be joined into one.
_VERSION: Final = {
    "version": "version",
    "cksum": "cksum",
    "yanked": "yanked",
    "manifest_json": "manifest::text",
    "signature_kind": "signature_kind",
    "signature_key_id": "signature_key_id",
    "signature_bytes": "signature_bytes",
    "scale_classes_json": "to_json(scale_classes_supported)::text",
    "scale_tested": "scale_tested",
    "scale_test_evidence_ref": "scale_test_evidence_ref",
    "published_at": "published_at",
}
_STATE: Final = {
    "state_version": "version",
    "staged": "staged",
    "upload_id": "upload_id",
    "metadata_digest": "metadata_digest",
}
_NO_STATE: Final = (False, None, None)
_VERSION_COLUMNS: Final = (*_VERSION, *list(_STATE)[1:], "line_digest", "provenance")


def _arrays(columns: Mapping[str, str]) -> str:
    return ", ".join(f"array_agg({expression}) AS {name}" for name, expression in columns.items())


# {lock}: a common table expression; {is_locked}: whether the transaction has locked the package in it;
# {join}: other joins. The arrays are joined here: Postgres expects few versions of a package, and would
# compare each with each. The manifest comes as text, because of most versions nobody reads it.
_HEADS = """
    {lock}
    SELECT p.id, p.name, p.latest_version, COALESCE(s.generation, 1) AS generation,
           COALESCE(s.published_generation, 0) AS published_generation, s.catalog_line,
           EXTRACT(epoch FROM now() - s.dirty_since)::float8 AS dirty_s,
           ARRAY(SELECT u.handle FROM package_owners o JOIN users u ON u.id = o.user_id
                 WHERE o.package_id = p.id ORDER BY u.handle COLLATE "C") AS owners,
           versions.*, states.*,
           ARRAY(SELECT (version, digest) FROM log_lines WHERE name = p.name) AS lines,
           ARRAY(SELECT (version, provenance) FROM version_provenance WHERE package_id = p.id) AS builds,
           ARRAY(SELECT (version, id, kind, severity, summary, details, url, created_at, withdrawn_at)
                 FROM package_version_advisories WHERE package_id = p.id
                 ORDER BY created_at, id) AS advisories,
           ARRAY(SELECT (version, cksum) FROM version_tombstones WHERE package_id = p.id) AS removed,
           {is_locked} AS is_locked, {is_outdated} AS is_outdated
    FROM packages p LEFT JOIN index_state s ON s.package_id = p.id {join}
    WHERE p.name = ANY(ARRAY(SELECT unnest(CAST($1 AS text[]))))
    ORDER BY p.name COLLATE "C"
"""
_COLUMNS: Final = f"""
    CROSS JOIN LATERAL (SELECT {_arrays(_VERSION)} FROM package_versions WHERE package_id = p.id) versions
    CROSS JOIN LATERAL (SELECT {_arrays(_STATE)} FROM version_state WHERE package_id = p.id) states
"""  # noqa: S608 - text of our own
_PACKAGES = _HEADS.format(lock="", is_locked="false", is_outdated="false", join=_COLUMNS)
# The lock returns the newest row, and the rest of the statement reads what was there when it began. If both
# are of the same generations, nothing changed in between. The commit need not reach the disk: what a crash
# of Postgres loses is published again.
_LOCKED_PACKAGES = _HEADS.format(
    lock="""
    WITH locked AS MATERIALIZED (
        SELECT s.package_id, s.generation, s.published_generation,
               set_config('synchronous_commit', 'off', true)
        FROM index_state s JOIN packages p ON p.id = s.package_id
        WHERE p.name = ANY(ARRAY(SELECT unnest(CAST($1 AS text[])))) FOR UPDATE OF s SKIP LOCKED
    )
    """,
    is_locked="locked.package_id IS NOT NULL",
    is_outdated="(locked.generation, locked.published_generation) <> (s.generation, s.published_generation)",
    join=f"LEFT JOIN locked ON locked.package_id = p.id {_COLUMNS}",
)


async def states_of(
    tx: Connection, names: Sequence[str], official_handle: str, memory: VersionMemory | None = None
) -> list[PackageState]:
    """The packages with all their rows, in byte order of names; unknown names are left out.

    One statement, which reads one snapshot. Served by packages_name_key and the primary keys.
    memory: gives and takes versions that are as they were read before.
    """
    return [_state(head, official_handle, memory) for head in await fetch(tx, _PACKAGES, list(names))]


async def lock_states(
    tx: Connection, names: Sequence[str], official_handle: str, memory: VersionMemory | None = None
) -> list[PackageState]:
    """Lock the index_state rows of packages until the transaction ends; their states, in byte order of names.

    A package that somebody else has locked is not waited for; is_locked is false in its state. Writers raise
    the generation in this row, so no change of a package commits while it is locked, and the states contain
    everything that was committed before. The commit does not wait for the disk. Served by packages_name_key
    and the primary keys. memory: as of states_of.
    """
    heads = await fetch(tx, _LOCKED_PACKAGES, list(names))
    states = [_state(head, official_handle, memory) for head in heads]
    if outdated := [head["name"] for head in heads if head["is_outdated"]]:
        again = await states_of(tx, outdated, official_handle, memory)
        newer = {state.package.name: state for state in again}
        states = [
            replace(newer.get(state.package.name, state), is_locked=state.is_locked) for state in states
        ]
    return states


def _state(head: Row, official_handle: str, memory: VersionMemory | None) -> PackageState:
    lines = dict(head["lines"])
    package = PackageRow(
        id=head["id"],
        name=head["name"],
        latest_version=head["latest_version"],
        is_official=official_handle in head["owners"],
        generation=head["generation"],
        versions=_versions(head, lines, memory),
        removed=tuple(RemovedRow(version, cksum, lines.get(version)) for version, cksum in head["removed"]),
        owners=tuple(head["owners"]),
    )
    return PackageState(
        package, head["published_generation"], head["catalog_line"], head["dirty_s"], head["is_locked"]
    )


def _versions(head: Row, lines: Mapping[str, bytes], memory: VersionMemory | None) -> tuple[VersionRow, ...]:
    states = {version: state for version, *state in _rows(head, _STATE)}
    builds = dict(head["builds"])
    advisories: defaultdict[str, list[AdvisoryRow]] = defaultdict(list)
    for version, *advisory in head["advisories"]:
        advisories[version].append(AdvisoryRow(*advisory))
    facts: dict[str, Facts] = {}
    for columns in _rows(head, _VERSION):
        version = columns[0]
        state = states.get(version, _NO_STATE)
        values = (*columns, *state, lines.get(version), builds.get(version))
        facts[version] = (head["name"], values, tuple(advisories.get(version, ())))
    return (
        tuple(map(_version_of, facts.values()))
        if memory is None
        else memory.rows(head["id"], facts, _version_of)
    )


def _rows(head: Row, columns: Iterable[str]) -> Iterator[tuple[Any, ...]]:
    """The rows of the arrays with these columns, which are null if there is no row."""
    return zip(*(head[column] or () for column in columns), strict=True)


def _version_of(facts: Facts) -> VersionRow:
    _, values, advisories = facts
    row = dict(zip(_VERSION_COLUMNS, values, strict=True))
    row["scale_classes_supported"] = msgspec.json.decode(row["scale_classes_json"])
    return version_row(row, advisories)


def version_row(row: Row, advisories: Sequence[AdvisoryRow]) -> VersionRow:
    """A version, from its columns by name. advisories: all of them, oldest first."""
    kind = row["signature_kind"]
    signature = (
        SignatureRow(kind, row["signature_key_id"], row["signature_bytes"]) if kind is not None else None
    )
    return VersionRow(
        version=row["version"],
        cksum=row["cksum"],
        yanked=row["yanked"],
        manifest_json=row["manifest_json"],
        signature=signature,
        advisories=tuple(advisory for advisory in advisories if advisory.withdrawn_at is None),
        ever_advised=tuple(reversed(advisories)),
        scale_classes_supported=tuple(row["scale_classes_supported"]),
        scale_tested=row["scale_tested"],
        scale_test_evidence_ref=row["scale_test_evidence_ref"],
        staged=row["staged"],
        upload_id=row["upload_id"],
        metadata_digest=row["metadata_digest"],
        line_digest=row["line_digest"],
        provenance=stored_provenance(row["provenance"]),
        published_at=row["published_at"],
    )


@dataclass(frozen=True, slots=True)
class DirtyPackage:
    """A package with changes that are not published yet."""

    id: UUID
    name: PackageName


# The order is that of index_state_dirty_idx, which has only dirty rows. Postgres estimates a third of all
# rows as dirty, and would walk every package for any other order; OFFSET 0 makes it look up the few names
# instead.
_DIRTY = text(
    """
    SELECT dirty.package_id AS id, p.name
    FROM (SELECT package_id FROM index_state
          WHERE generation > published_generation AND package_id > :after
          ORDER BY package_id LIMIT :page) dirty
    CROSS JOIN LATERAL (SELECT name FROM packages WHERE id = dirty.package_id OFFSET 0) p
    ORDER BY dirty.package_id
    """
)


async def dirty_packages(tx: AsyncConnection, after: UUID) -> Sequence[DirtyPackage]:
    """Packages with unpublished changes after the id `after`: one page, in the order of ids."""
    result = await tx.execute(_DIRTY, {"after": after, "page": DIRTY_PAGE})
    return [DirtyPackage(row.id, row.name) for row in result]


@dataclass(frozen=True, slots=True)
class Backlog:
    """The changes that wait to be published.

    Ages are those of the oldest change in seconds; 0 if nothing waits.
    """

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
    """The waiting changes (index_state_dirty_idx has only dirty rows; catalog_changes_pkey)."""
    row = (await tx.execute(_BACKLOG)).one()
    return Backlog(row.dirty, row.oldest_dirty_s, row.catalog_behind_s)


async def raise_generations(tx: AsyncConnection, names: Sequence[str]) -> int:
    """Make packages dirty; all of them if no name is given. Returns their number."""
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
    """Make packages dirty, and forget their documents' digests, so that all are put (primary keys)."""
    if not names:  # no names would mean all packages below
        return
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
