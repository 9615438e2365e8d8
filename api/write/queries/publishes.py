"""SQL of publishes. Each statement handles a whole batch of them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any
from uuid import UUID

from shared.locks import look_alike_lock_key, package_lock_key, staging_lock_key
from shared.names import fold_name
from shared.statements import Connection, Row, fetch


@dataclass(frozen=True, slots=True)
class Standing:
    """The state of the database that concerns a publish. package_id, latest_version: None for a new package.

    is_taken: the version is published, or was published and removed. is_required: others require the package.
    is_collected: garbage collection has deleted the staged upload, or is about to. look_alike: for a new
    package, the first by name of the packages with the same folded name that the user does not own.
    is_trusted_only: the package's owners demand trusted publishing.
    """

    package_id: UUID | None
    latest_version: str | None
    is_owner: bool
    is_taken: bool
    is_required: bool
    is_collected: bool
    look_alike: str | None
    is_trusted_only: bool


@dataclass(frozen=True, slots=True)
class Wanted:
    """The facts of a publish that its checks need. upload_id: of the archive, staged or not yet."""

    name: str
    version: str
    user_id: UUID
    upload_id: str


@dataclass(frozen=True, slots=True)
class NewVersion:
    """The values of the inserted rows. standing: the one that allows them. manifest: the JSON as uploaded.

    package_id: of the new package, if it is one. signature: key id and 64 raw bytes. provenance: of the build
    that publishes, None for a person.
    """

    standing: Standing
    package_id: UUID
    name: str
    becomes_latest: bool
    version: str
    cksum: str
    upload_id: str
    manifest: Mapping[str, Any]
    user_id: UUID
    token_id: UUID | None
    scale_classes_supported: Sequence[str]
    scale_tested: bool
    scale_test_evidence_ref: str | None
    signature: tuple[str, bytes] | None
    provenance: Mapping[str, Any] | None


# Each row is looked up by an index. OFFSET 0 and the subqueries that return a value see to that: Postgres may
# read whole tables for a join, EXISTS or LIMIT 1, and keeps such a plan.
STANDINGS = """
    SELECT p.id AS package_id, p.latest_version,
           COALESCE((SELECT true FROM package_owners o
                     WHERE o.package_id = p.id AND o.user_id = wanted.user_id), false) AS is_owner,
           COALESCE((SELECT true FROM package_versions v
                     WHERE v.package_id = p.id AND v.version = wanted.version),
                    (SELECT true FROM version_tombstones t
                     WHERE t.package_id = p.id AND t.version = wanted.version), false) AS is_taken,
           COALESCE((SELECT true FROM package_requirements r
                     WHERE r.required = wanted.name LIMIT 1), false) AS is_required,
           COALESCE((SELECT true FROM collected_uploads c
                     WHERE c.upload_id = wanted.upload_id), false) AS is_collected,
           CASE WHEN p.id IS NULL THEN (
               SELECT other.name
               FROM (SELECT id, name FROM packages
                     WHERE regexp_replace(lower(name COLLATE "C"), '[-_]+', '-', 'g') = wanted.folded_name
                     OFFSET 0) other
               WHERE (SELECT true FROM package_owners o
                      WHERE o.package_id = other.id AND o.user_id = wanted.user_id) IS NULL
               ORDER BY other.name COLLATE "C" LIMIT 1
           ) END AS look_alike,
           COALESCE((SELECT r.trusted_publishing_only FROM package_rules r
                     WHERE r.package_id = p.id), false) AS is_trusted_only
    FROM unnest(ARRAY(SELECT unnest(CAST($1 AS text[]))), CAST($2 AS text[]), CAST($3 AS uuid[]),
                CAST($4 AS text[]), CAST($5 AS text[]))
         WITH ORDINALITY AS wanted (name, version, user_id, upload_id, folded_name, place)
    LEFT JOIN LATERAL (SELECT id, latest_version FROM packages WHERE name = wanted.name OFFSET 0) p ON true
    ORDER BY wanted.place
"""

_IS_REMOVED = """
    SELECT 1 FROM version_tombstones t JOIN packages p ON p.id = t.package_id
    WHERE p.name = $1 AND t.version = $2
"""

# The function is in deploy/migrations/versions/0015_accept_publishes.py.
_ACCEPT = "SELECT * FROM accept_publishes(CAST($1 AS jsonb))"


async def standings(tx: Connection, wanted: Sequence[Wanted]) -> list[Standing]:
    """The state of each publish, in order (unique and primary keys, packages_folded_name_idx)."""
    columns = (
        [each.name for each in wanted],
        [each.version for each in wanted],
        [each.user_id for each in wanted],
        [each.upload_id for each in wanted],
        [fold_name(each.name) for each in wanted],
    )
    return [Standing(**row) for row in await fetch(tx, STANDINGS, *columns)]


async def is_removed(tx: Connection, wanted: Wanted) -> bool:
    """True if the version was published, and then removed (unique and primary keys)."""
    return bool(await fetch(tx, _IS_REMOVED, wanted.name, wanted.version))


async def accept(connection: Connection, new: Sequence[NewVersion]) -> list[int | Standing | None]:
    """Insert versions of different packages, whose archives are staged, with all related rows.

    The one statement of its transaction. For each version, in order: the generation of the package that
    contains it; or the standing that it has now, if that is not the one it was made for; or None if another
    process has locked the package. Nothing waits. Garbage collection (indexer/upkeep/staging_gc.py) does not
    delete the archives meanwhile, and nobody can add a package whose name looks like one of these.
    """
    rows = [_row(place, version) for place, version in enumerate(new)]
    return [_outcome(row) for row in await fetch(connection, _ACCEPT, json.dumps(rows))]


def _outcome(row: Row) -> int | Standing | None:
    if not row["is_locked"]:
        return None
    if (generation := row["generation"]) is not None:
        return int(generation)
    return Standing(**{field.name: row[field.name] for field in fields(Standing)})


def _row(place: int, new: NewVersion) -> dict[str, Any]:
    key_id, signature = new.signature or (None, b"")
    folded_name = fold_name(new.name)
    return {
        "place": place,
        "staging_lock": staging_lock_key(new.cksum),
        "package_lock": package_lock_key(new.name),
        "look_alike_lock": look_alike_lock_key(folded_name),
        "known_id": str(new.standing.package_id) if new.standing.package_id else None,
        "known_latest": new.standing.latest_version,
        "known_owner": new.standing.is_owner,
        "known_look_alike": new.standing.look_alike,
        "known_trusted_only": new.standing.is_trusted_only,
        "folded_name": folded_name,
        "new_id": str(new.package_id),
        "name": new.name,
        "becomes_latest": new.becomes_latest,
        "version": new.version,
        "cksum": new.cksum,
        "upload_id": new.upload_id,
        "manifest": new.manifest,
        "user_id": str(new.user_id),
        "token_id": str(new.token_id) if new.token_id else None,
        "scale_classes": list(new.scale_classes_supported),
        "scale_tested": new.scale_tested,
        "scale_evidence": new.scale_test_evidence_ref,
        "key_id": key_id,
        "signature": signature.hex() if key_id else None,
        "provenance": new.provenance,
    }
