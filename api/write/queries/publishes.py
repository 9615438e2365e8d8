"""SQL of publishes: many at once, each statement for all of them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.locks import package_lock_key, staging_lock_key


@dataclass(frozen=True, slots=True)
class Standing:
    """How a publish stands. package_id, latest_version: None when the package is new.

    is_taken: the version is published, or was and has been removed. is_required: others require the package.
    """

    package_id: UUID | None
    latest_version: str | None
    is_owner: bool
    is_taken: bool
    is_required: bool


@dataclass(frozen=True, slots=True)
class NewVersion:
    """What a publish inserts. manifest: the whole JSON as uploaded. signature: key id and 64 raw bytes."""

    package_id: UUID
    name: str
    is_new_package: bool
    becomes_latest: bool
    version: str
    cksum: str
    manifest: Mapping[str, Any]
    user_id: UUID
    token_id: UUID | None
    scale_classes_supported: Sequence[str]
    scale_tested: bool
    scale_test_evidence_ref: str | None
    signature: tuple[str, bytes] | None


# Each in the order of the array.
_LOCK = text(
    """
    SELECT pg_advisory_xact_lock_shared(key) FROM unnest(CAST(:staged AS bigint[])) AS key
    UNION ALL
    SELECT pg_advisory_xact_lock(key) FROM unnest(CAST(:packages AS bigint[])) AS key
    """
)

_STANDINGS = text(
    """
    SELECT p.id AS package_id, p.latest_version,
           EXISTS (SELECT 1 FROM package_owners o
                   WHERE o.package_id = p.id AND o.user_id = wanted.user_id) AS is_owner,
           EXISTS (SELECT 1 FROM package_versions v
                   WHERE v.package_id = p.id AND v.version = wanted.version)
           OR EXISTS (SELECT 1 FROM version_tombstones t
                      WHERE t.package_id = p.id AND t.version = wanted.version) AS is_taken,
           EXISTS (SELECT 1 FROM package_requirements r WHERE r.required = wanted.name) AS is_required
    FROM unnest(CAST(:names AS text[]), CAST(:versions AS text[]), CAST(:user_ids AS uuid[]))
         WITH ORDINALITY AS wanted (name, version, user_id, place)
    LEFT JOIN packages p ON p.name = wanted.name
    ORDER BY wanted.place
    """
)

_ADD = text(
    """
    WITH published AS MATERIALIZED (
        SELECT * FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS published (
            package_id uuid, name text, is_new_package boolean, becomes_latest boolean, version text,
            cksum text, manifest jsonb, user_id uuid, token_id uuid, scale_classes text[],
            scale_tested boolean, scale_evidence text, key_id text, signature text)
    ), new_packages AS (
        INSERT INTO packages (id, name, created_by, latest_version)
        SELECT package_id, name, user_id, version FROM published WHERE is_new_package
    ), new_owners AS (
        INSERT INTO package_owners (package_id, user_id)
        SELECT package_id, user_id FROM published WHERE is_new_package
    ), latest AS (
        UPDATE packages p SET latest_version = published.version FROM published
        WHERE p.id = published.package_id AND becomes_latest AND NOT is_new_package
    ), new_versions AS (
        INSERT INTO package_versions (package_id, version, cksum, manifest, published_by,
                                      scale_classes_supported, scale_tested, scale_test_evidence_ref,
                                      signature_kind, signature_key_id, signature_bytes)
        SELECT package_id, version, cksum, manifest, user_id, scale_classes, scale_tested, scale_evidence,
               CASE WHEN key_id IS NOT NULL THEN 'ed25519' END, key_id, decode(signature, 'hex')
        FROM published
    ), staged AS (
        INSERT INTO version_state (package_id, version) SELECT package_id, version FROM published
    ), told AS (
        INSERT INTO audit_events (actor_user_id, actor_token_id, action, package_name, package_version)
        SELECT user_id, token_id, 'publish', name, version FROM published
    )
    INSERT INTO index_state (package_id, dirty_since)
    SELECT package_id, now() FROM published ORDER BY package_id
    ON CONFLICT (package_id) DO UPDATE
    SET generation = index_state.generation + 1, dirty_since = COALESCE(index_state.dirty_since, now())
    RETURNING package_id, generation
    """
)


async def lock(tx: AsyncConnection, names: Sequence[str], checksums: Sequence[str]) -> None:
    """Take the locks of packages, and hold what is staged, until the transaction ends.

    Nobody removes the staged bytes meanwhile (indexer/collection.py). Locks are taken in the order of their
    keys, so that two transactions never wait for each other in a circle.
    """
    keys = {
        "staged": sorted(map(staging_lock_key, checksums)),
        "packages": sorted(map(package_lock_key, names)),
    }
    await tx.execute(_LOCK, keys)


async def standings(tx: AsyncConnection, wanted: Sequence[tuple[str, str, UUID]]) -> list[Standing]:
    """How publishes stand, each a name, a version and a user; in order (unique and primary keys)."""
    values = {
        "names": [name for name, _, _ in wanted],
        "versions": [version for _, version, _ in wanted],
        "user_ids": [user_id for _, _, user_id in wanted],
    }
    return [Standing(**row._mapping) for row in await tx.execute(_STANDINGS, values)]


async def add(tx: AsyncConnection, new: Sequence[NewVersion]) -> dict[UUID, int]:
    """Insert versions of different packages, whose archives wait in staging, with all that goes with them.

    The generations that hold them, by package.
    """
    raised = await tx.execute(_ADD, {"rows": json.dumps([_row(version) for version in new])})
    return {row.package_id: row.generation for row in raised}


def _row(new: NewVersion) -> dict[str, Any]:
    key_id, signature = new.signature or (None, b"")
    return {
        "package_id": str(new.package_id),
        "name": new.name,
        "is_new_package": new.is_new_package,
        "becomes_latest": new.becomes_latest,
        "version": new.version,
        "cksum": new.cksum,
        "manifest": new.manifest,
        "user_id": str(new.user_id),
        "token_id": str(new.token_id) if new.token_id else None,
        "scale_classes": list(new.scale_classes_supported),
        "scale_tested": new.scale_tested,
        "scale_evidence": new.scale_test_evidence_ref,
        "key_id": key_id,
        "signature": signature.hex() if key_id else None,
    }
