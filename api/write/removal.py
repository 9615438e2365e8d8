"""Removes a version for legal reasons, the only change that deletes a published archive.

No route does this, only an operator's command. For a version that should no longer be used, a yank
(yank.py) is enough: the version stays downloadable.
"""

from __future__ import annotations

from api.write.package_change import changing, lock_owned, missing_version, record, seen_by_readers
from api.write.principal import Principal
from api.write.queries import packages, tombstones, versions
from api.write.services import Services
from api.write.yank import latest_after
from shared.names import PackageName
from shared.versions import VersionText


async def remove_version(
    services: Services, caller: Principal, name: PackageName, version: VersionText, reason: str
) -> bool:
    """Remove a version for good. True if readers no longer see it; otherwise a worker removes it later.

    Its row and advisories are deleted; a tombstone keeps its place, so that it is never published
    again, and lets workers delete its files. Raises NotFound (package, version), Forbidden.
    """
    async with changing(services, caller, name) as tx:
        package = await lock_owned(tx, caller, name)
        cksum = await tombstones.bury(tx, package.id, version, reason)
        if cksum is None:
            raise await missing_version(tx, package, version)
        left = await versions.not_yanked(tx, package.id)
        latest = latest_after(version, True, package.latest_version, left)
        await packages.set_latest_version(tx, package.id, latest)
        await record(tx, caller, "version_removed", package, version, cksum=cksum, reason=reason)
        generation = await packages.raise_generation(tx, package.id)
    return await seen_by_readers(services, package, generation)
