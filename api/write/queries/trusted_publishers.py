"""SQL on trusted publishers, on used identities, and on packages that require trusted publishing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from sqlalchemy import delete, func, or_, select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.names import PackageName
from shared.tables import package_rules, token_limits, tokens, trusted_publishers, used_identities

PENDING_DAYS: Final = 30


@dataclass(frozen=True, slots=True)
class Publisher:
    """A trusted publisher. added_by: the handle of the user on whose behalf it publishes.

    repository: its path at the issuer. workflow: a path in it. owner_id: None until its first use. is_owner:
    that user owns the package. is_new: no package has the name. is_current: it was added within 30 days.
    """

    id: UUID
    name: str
    user_id: UUID
    added_by: str
    kind: str
    issuer: str
    repository: str
    workflow: str
    environment: str | None
    owner_id: str | None
    created_at: datetime
    is_owner: bool
    is_new: bool
    is_current: bool

    @property
    def is_usable(self) -> bool:
        """True if it may publish: its user owns the package, or may still make it."""
        return self.is_current if self.is_new else self.is_owner


_PUBLISHERS: Final = f"""
    SELECT t.id, t.name, t.user_id, u.handle AS added_by, t.kind, t.issuer, t.repository, t.workflow,
           t.environment, t.owner_id, t.created_at, o.user_id IS NOT NULL AS is_owner, p.id IS NULL AS is_new,
           t.created_at > now() - interval '{PENDING_DAYS} days' AS is_current
    FROM trusted_publishers t JOIN users u ON u.id = t.user_id
    LEFT JOIN packages p ON p.name = t.name
    LEFT JOIN package_owners o ON o.package_id = p.id AND o.user_id = t.user_id
    """  # noqa: S608 - a number of ours
_OF_PACKAGE: Final = text(f"{_PUBLISHERS} WHERE t.name = :name ORDER BY t.created_at, t.id")
_OF_REPOSITORY: Final = text(
    f"{_PUBLISHERS} WHERE lower(t.repository) = lower(:repository) AND t.issuer = :issuer "
    "ORDER BY t.created_at, t.id"
)
_PENDING: Final = text(
    f"""
    SELECT count(*) FROM trusted_publishers t
    WHERE t.user_id = :user_id AND t.created_at > now() - interval '{PENDING_DAYS} days'
      AND NOT EXISTS (SELECT 1 FROM packages p WHERE p.name = t.name)
    """  # noqa: S608 - a number of ours
)


async def of_package(tx: AsyncConnection, name: PackageName) -> list[Publisher]:
    """Those of a package, oldest first (trusted_publishers_name_idx)."""
    return [Publisher(**row._mapping) for row in await tx.execute(_OF_PACKAGE, {"name": name})]


async def of_repository(tx: AsyncConnection, issuer: str, repository: str) -> list[Publisher]:
    """Those of a repository, oldest first (trusted_publishers_repository_idx)."""
    values = {"issuer": issuer, "repository": repository}
    return [Publisher(**row._mapping) for row in await tx.execute(_OF_REPOSITORY, values)]


async def pending_of(tx: AsyncConnection, user_id: UUID) -> int:
    """The number of a user's publishers that wait for a first version (trusted_publishers_user_id_idx)."""
    return int((await tx.execute(_PENDING, {"user_id": user_id})).scalar_one())


async def add(
    tx: AsyncConnection,
    name: PackageName,
    user_id: UUID,
    *,
    kind: str,
    issuer: str,
    repository: str,
    workflow: str,
    environment: str | None,
) -> UUID:
    """Insert a publisher. Returns its id."""
    row = {
        "name": name,
        "user_id": user_id,
        "kind": kind,
        "issuer": issuer,
        "repository": repository,
        "workflow": workflow,
        "environment": environment,
    }
    statement = insert(trusted_publishers).values(row).returning(trusted_publishers.c.id)
    publisher_id: UUID = (await tx.execute(statement)).scalar_one()
    return publisher_id


async def give_to(tx: AsyncConnection, publisher_id: UUID, user_id: UUID) -> None:
    """Let a publisher publish on behalf of this user, from now (primary key)."""
    statement = update(trusted_publishers).where(trusted_publishers.c.id == publisher_id)
    await tx.execute(statement.values(user_id=user_id, created_at=func.now()))


async def remove(tx: AsyncConnection, publisher_id: UUID) -> None:
    """Remove a publisher, and revoke the tokens that it made (primary key, token_limits_publisher_id_idx)."""
    made = select(token_limits.c.token_id).where(token_limits.c.publisher_id == publisher_id)
    revoked = update(tokens).where(tokens.c.id.in_(made), tokens.c.revoked_at.is_(None))
    await tx.execute(revoked.values(revoked_at=func.now()))
    await tx.execute(delete(trusted_publishers).where(trusted_publishers.c.id == publisher_id))


async def remember_owner(tx: AsyncConnection, publisher_id: UUID, owner_id: str) -> bool:
    """Store the repository's owner; False if another owner is stored already (primary key)."""
    known = trusted_publishers.c.owner_id
    statement = update(trusted_publishers).where(
        trusted_publishers.c.id == publisher_id, or_(known.is_(None), known == owner_id)
    )
    return (await tx.execute(statement.values(owner_id=owner_id))).rowcount == 1


async def use_identity(tx: AsyncConnection, issuer: str, jti: str, expires_at: datetime) -> bool:
    """Mark an identity token as used; False if it was used before (primary key)."""
    row = {"issuer": issuer, "jti": jti, "expires_at": expires_at}
    statement = insert(used_identities).values(row).on_conflict_do_nothing()
    return (await tx.execute(statement)).rowcount == 1


async def demand(tx: AsyncConnection, package_id: UUID, trusted_publishing_only: bool) -> None:
    """Set what a package's owners require (primary key)."""
    row = {"package_id": package_id, "trusted_publishing_only": trusted_publishing_only}
    statement = insert(package_rules).values(row)
    await tx.execute(statement.on_conflict_do_update(index_elements=[package_rules.c.package_id], set_=row))


async def is_demanded(tx: AsyncConnection, names: Sequence[PackageName]) -> bool:
    """True if the owners of one of these packages require trusted publishing (packages_name_key)."""
    statement = text(
        """
        SELECT EXISTS (SELECT 1 FROM package_rules r JOIN packages p ON p.id = r.package_id
                       WHERE p.name = ANY(CAST(:names AS text[])) AND r.trusted_publishing_only)
        """
    )
    return bool((await tx.execute(statement, {"names": list(names)})).scalar_one())
