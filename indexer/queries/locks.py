"""SQL of the locks under which packages are published."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.names import PackageName

# The commit need not reach the disk: what a crash of Postgres loses is published again.
_LOCK = text(
    """
    SELECT p.name, set_config('synchronous_commit', 'off', true)
    FROM index_state s JOIN packages p ON p.id = s.package_id
    WHERE p.name = ANY(CAST(:names AS text[])) FOR UPDATE OF s SKIP LOCKED
    """
)


async def lock_packages(tx: AsyncConnection, names: Sequence[str]) -> set[PackageName]:
    """Lock the index_state rows of packages until the transaction ends. Returns those that were free.

    Writers raise the generation in this row, so no change of the package commits while it is locked. The rows
    are read by a later statement, which sees everything committed before the lock. The commit does not wait
    for the disk. Served by packages_name_key and the primary key.
    """
    return set((await tx.execute(_LOCK, {"names": list(names)})).scalars())
