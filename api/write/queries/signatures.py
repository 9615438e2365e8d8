"""SQL on stored signatures: finds versions without a signature, and stores new ones."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.names import PackageName
from shared.versions import VersionText

# As in the older server, a signature without one of its parts counts as absent (contract, 9).
_UNSIGNED = """
    (COALESCE(v.signature_kind, '') = '' OR COALESCE(v.signature_key_id, '') = ''
     OR COALESCE(octet_length(v.signature_bytes), 0) = 0)
    """
_COUNT = text(
    f"SELECT count(*) AS total, count(*) FILTER (WHERE {_UNSIGNED}) AS unsigned FROM package_versions v"  # noqa: S608
)
# OFFSET 0 has Postgres walk packages by name until the page is full. It expects few unsigned versions, and
# would read all.
_PAGE = text(
    f"""
    SELECT p.id AS package_id, p.name, v.version, v.cksum
    FROM packages p CROSS JOIN LATERAL (SELECT * FROM package_versions WHERE package_id = p.id OFFSET 0) v
    WHERE {_UNSIGNED} AND p.name COLLATE "C" >= CAST(:name AS text)
      AND (p.name COLLATE "C", v.version COLLATE "C") > (CAST(:name AS text), CAST(:version AS text))
    ORDER BY p.name COLLATE "C", v.version COLLATE "C" LIMIT :limit
    """  # noqa: S608 - no value is in the text
)
_SIGN = text(
    f"""
    UPDATE package_versions v
    SET signature_kind = 'ed25519', signature_key_id = :key_id, signature_bytes = :signature
    WHERE v.package_id = :package_id AND v.version = :version AND v.cksum = :cksum AND {_UNSIGNED}
    """  # noqa: S608 - no value is in the text
)


@dataclass(frozen=True, slots=True)
class UnsignedVersion:
    """A version without a complete signature. cksum: of its archive, 64 hex digits."""

    package_id: UUID
    name: PackageName
    version: VersionText
    cksum: str


async def count_versions(tx: AsyncConnection) -> tuple[int, int]:
    """How many versions there are, and how many of them are unsigned. Reads the whole table."""
    row = (await tx.execute(_COUNT)).one()
    return int(row.total), int(row.unsigned)


async def page_of_unsigned(tx: AsyncConnection, after: tuple[str, str], limit: int) -> list[UnsignedVersion]:
    """Unsigned versions after this name and version, in byte order of both (packages_name_bytes_idx)."""
    values = {"name": after[0], "version": after[1], "limit": limit}
    return [UnsignedVersion(**row._mapping) for row in await tx.execute(_PAGE, values)]


async def sign(tx: AsyncConnection, version: UnsignedVersion, key_id: str, signature: bytes) -> bool:
    """Store a signature. False if the version already has one, or no longer exists (primary key)."""
    values = {
        "package_id": version.package_id,
        "version": version.version,
        "cksum": version.cksum,
        "key_id": key_id,
        "signature": signature,
    }
    return (await tx.execute(_SIGN, values)).rowcount == 1
