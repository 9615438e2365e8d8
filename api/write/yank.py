"""Yanks and restores versions (contract, 6.3). Yanked versions stay listed and downloadable."""

from __future__ import annotations

from collections.abc import Collection

from api.write.package_change import changing, lock_owned, missing_version, record, seen_by_readers
from api.write.principal import Principal
from api.write.queries import packages, versions
from api.write.services import Services
from shared.names import PackageName
from shared.versions import VersionText, greatest


async def set_yanked(
    services: Services, caller: Principal, name: PackageName, version: VersionText, yanked: bool
) -> bool:
    """Yank or restore a version; every call is recorded. True if readers see the package as it is now.

    Raises NotFound (package, version), Forbidden.
    """
    async with changing(services, caller, name) as tx:
        package = await lock_owned(tx, caller, name)
        before = await versions.is_yanked(tx, package.id, version)
        if before is None:
            raise await missing_version(tx, package, version)
        await versions.set_yanked(tx, package.id, version, yanked)
        left = await versions.not_yanked(tx, package.id)
        latest = latest_after(version, yanked, package.latest_version, left)
        await packages.set_latest_version(tx, package.id, latest)
        await record(tx, caller, "yank" if yanked else "unyank", package, version)
        is_change = (before, package.latest_version) != (yanked, latest)
        generation = await packages.raise_generation(tx, package.id) if is_change else None
    return await seen_by_readers(services, package, generation)


def latest_after(version: str, yanked: bool, latest: str | None, left: Collection[str]) -> str | None:
    """The latest version after one version was yanked or restored. Pre-releases count.

    left: the versions that are not yanked now. A stored latest that does not parse is replaced.
    """
    if not yanked:
        return greatest([version, latest or ""])
    return greatest(left) if version == latest else latest
