"""SQL on the tokens that may read a private registry, or private packages of a public one."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

_READERS: Final = text(
    """
    SELECT t.token_hash, EXTRACT(epoch FROM l.expires_at)::float8 AS ends
    FROM tokens t LEFT JOIN token_limits l ON l.token_id = t.id
    WHERE t.revoked_at IS NULL AND (l.expires_at IS NULL OR l.expires_at > now())
    """
)

_PRIVATE_READERS: Final = text(
    """
    WITH owners AS (
        SELECT o.user_id, array_agg(p.name ORDER BY p.name COLLATE "C") AS names
        FROM private_packages h JOIN packages p ON p.id = h.package_id
        JOIN package_owners o ON o.package_id = h.package_id GROUP BY o.user_id
    ), readers AS (
        SELECT id FROM users WHERE handle = ANY(CAST(:handles AS text[])) UNION SELECT user_id FROM owners
    ), asked AS (
        SELECT t.id FROM readers JOIN tokens t ON t.user_id = readers.id WHERE t.revoked_at IS NULL
        UNION SELECT id FROM tokens WHERE revoked_at IS NULL AND 'admin' = ANY(scopes)
    )
    SELECT t.token_hash, EXTRACT(epoch FROM l.expires_at)::float8 AS ends, u.handle,
           'admin' = ANY(t.scopes) AS is_admin, l.packages AS limits, COALESCE(owners.names, '{}') AS owned
    FROM asked JOIN tokens t ON t.id = asked.id JOIN users u ON u.id = t.user_id
    LEFT JOIN token_limits l ON l.token_id = t.id LEFT JOIN owners ON owners.user_id = t.user_id
    WHERE l.expires_at IS NULL OR l.expires_at > now()
    """
)


@dataclass(frozen=True, slots=True)
class PrivateReader:
    """A valid token of somebody who may read private packages. ends: None for never.

    handle: of its user. limits: patterns of packages that it is limited to, None for no limit. owned: the
    private packages of its user.
    """

    token_hash: str
    ends: float | None
    handle: str
    is_admin: bool
    limits: list[str] | None
    owned: list[str]


async def readers(tx: AsyncConnection) -> dict[str, float | None]:
    """The expiry of each valid token, by its hash; None for never. Every valid token may read."""
    return {row.token_hash: row.ends for row in await tx.execute(_READERS)}


async def private_readers(tx: AsyncConnection, handles: Collection[str]) -> list[PrivateReader]:
    """The valid tokens of administrators, of owners of private packages, and of these users.

    Served by private_packages, the primary keys, users_handle_key, tokens_user_id_created_at_idx and
    tokens_admin_idx.
    """
    rows = await tx.execute(_PRIVATE_READERS, {"handles": sorted(handles)})
    return [PrivateReader(**row._mapping) for row in rows]
