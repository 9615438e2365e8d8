"""Publishing a version: checked archive → staging → one transaction → a worker's wake-up.

Nothing that readers see is written here. A crash at any point leaves nothing, or staged bytes that
nobody refers to, or a dirty generation that the worker's sweep finishes.
"""

from __future__ import annotations

from dataclasses import dataclass

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection
from structlog.contextvars import bind_contextvars

from api.write.archive import CheckedArchive
from api.write.dependents import conflicts_with
from api.write.metrics import publish_stage
from api.write.principal import Principal
from api.write.publication import published
from api.write.queries import audit, packages, staging, versions
from api.write.queries.dependents import Dependent
from api.write.services import Services
from api.write.upload import Upload
from shared.blobs import ARCHIVE_TYPE, staging_key
from shared.errors import AlreadyPublished, EmailUnverified, Forbidden, StorageUnavailable
from shared.names import PackageName, parse_new_name
from shared.stop_points import stop_at
from shared.versions import read_version, version_key

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Published:
    """An acknowledged publish. is_visible: readers see it already.

    rdep_conflicts: packages that require this one at a version that this is not.
    """

    name: PackageName
    version: str
    cksum: str
    is_visible: bool
    rdep_conflicts: tuple[Dependent, ...]


def require_verified_email(services: Services, caller: Principal) -> None:
    """Raise EmailUnverified for a publisher who must have a verified address and has none."""
    needed = services.settings.require_verified_email_for_publish and not caller.is_admin
    if needed and not caller.email_verified:
        raise EmailUnverified


async def publish(services: Services, caller: Principal, upload: Upload) -> Published:
    """Publish an uploaded archive. Raises every refusal of the contract's section 4.1, in its order."""
    settings = services.settings
    with publish_stage("check"):
        archive = await services.checks.check(caller.user_id, upload.path)
    bind_contextvars(package=archive.name, version=archive.version)
    async with services.database.transaction() as tx:
        await _find_publishable(tx, caller, archive)  # asked again under the lock; a refusal stages nothing
    with publish_stage("stage"):
        await services.storage.put_file(
            staging_key(upload.sha256), upload.path, content_type=ARCHIVE_TYPE, digest=upload.sha256
        )
    stop_at("after_stage", settings.test_stop_at)
    with publish_stage("commit"):
        async with services.database.transaction() as tx:
            await _hold_staged(tx, services, upload.sha256)
            package, generation = await _insert(tx, services, caller, archive, upload.sha256)
            conflicts = await conflicts_with(tx, archive.name, archive.version)
            stop_at("before_commit", settings.test_stop_at)
    stop_at("after_commit", settings.test_stop_at)
    log.info("version_published", package=package.name, version=archive.version, generation=generation)
    with publish_stage("visible"):
        is_visible = await published(services, package.name, package.id, generation)
    return Published(archive.name, archive.version, upload.sha256, is_visible, conflicts)


async def _hold_staged(tx: AsyncConnection, services: Services, sha256: str) -> None:
    """Keep the staged bytes until the transaction ends (indexer/collection.py says why in this order).

    Raises StorageUnavailable when they were collected since they were put: the next try puts them again.
    """
    await staging.hold(tx, sha256)
    if await services.storage.head(staging_key(sha256)) is None:
        raise StorageUnavailable


async def _insert(
    tx: AsyncConnection, services: Services, caller: Principal, archive: CheckedArchive, sha256: str
) -> tuple[packages.Package, int]:
    """The rows of one publish; the package and the generation that readers will see."""
    await packages.lock(tx, archive.name)
    package = await _find_publishable(tx, caller, archive)
    if package is None:
        package = await packages.add(tx, archive.name, caller.user_id)
    await versions.add(tx, _new_version(services, caller, archive, package, sha256))
    if _becomes_latest(archive.version, package.latest_version):
        await packages.set_latest_version(tx, package.id, archive.version)
    await audit.record(
        tx,
        "publish",
        user_id=caller.user_id,
        token_id=caller.token_id,
        package=archive.name,
        version=archive.version,
    )
    return package, await packages.raise_generation(tx, package.id)


async def _find_publishable(
    tx: AsyncConnection, caller: Principal, archive: CheckedArchive
) -> packages.Package | None:
    """The package if the caller may publish this version to it; None when it is new."""
    package = await packages.find(tx, archive.name)
    if package is None:
        parse_new_name(archive.name)
        return None
    if not caller.is_admin and not await packages.is_owner(tx, package.id, caller.user_id):
        raise Forbidden("not a package owner")
    if await versions.is_taken(tx, package.id, archive.version):
        raise AlreadyPublished
    return package


def _becomes_latest(version: str, latest: str | None) -> bool:
    """True if the version is greater than the latest; pre-releases count, an unparsable latest loses."""
    stored = read_version(latest) if latest is not None else None
    return stored is None or version_key(version) > stored.key


def _new_version(
    services: Services, caller: Principal, archive: CheckedArchive, package: packages.Package, sha256: str
) -> versions.NewVersion:
    signer = services.settings.signer()
    return versions.NewVersion(
        package_id=package.id,
        version=archive.version,
        cksum=sha256,
        manifest=archive.manifest.raw,
        published_by=caller.user_id,
        scale_classes_supported=archive.scale.classes,
        scale_tested=archive.scale.tested,
        scale_test_evidence_ref=archive.scale.evidence_ref,
        signature=(signer.key_id, signer.sign(archive.name, archive.version, sha256)) if signer else None,
    )
