"""Publishing a version: checked archive → staging → rows (publish_commit.py) → a worker's wake-up.

Readers see nothing that is written here. A crash at any point leaves nothing, or staged bytes that no row
refers to, or a dirty generation that the worker's sweep publishes.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, cast

import structlog
from structlog.contextvars import bind_contextvars

from api.write.metrics import publish_stage
from api.write.principal import Principal
from api.write.publish_commit import Asked, Candidate
from api.write.queries.dependents import Dependent
from api.write.services import Services
from api.write.upload import Upload
from shared.blobs import ARCHIVE_TYPE, archive_key, new_upload_id, staging_key
from shared.concurrency import together
from shared.errors import RegistryError
from shared.names import PackageName
from shared.publish_errors import AlreadyPublished, EmailUnverified
from shared.stop_points import stop_at
from shared.storage.interface import Storage

# Staging a larger archive costs more than the time that it saves.
STAGED_UNASKED_BYTES: Final = 1 << 20

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Published:
    """An acknowledged publish. is_visible: readers already see it.

    rdep_conflicts: packages whose requirement of this package excludes the new version.
    """

    name: PackageName
    version: str
    cksum: str
    is_visible: bool
    rdep_conflicts: tuple[Dependent, ...]


def require_verified_email(services: Services, caller: Principal) -> None:
    """Raise EmailUnverified if the publisher must have a verified address and has none."""
    needed = services.settings.require_verified_email_for_publish and not caller.is_admin
    if needed and not caller.email_verified:
        raise EmailUnverified


async def _stage(storage: Storage, candidate: Candidate, upload: Upload) -> None:
    key = staging_key(candidate.sha256, candidate.upload_id)
    await storage.put_file(key, upload.path, content_type=ARCHIVE_TYPE, digest=candidate.sha256)


async def _require_free(storage: Storage, candidate: Candidate) -> None:
    """Raise AlreadyPublished if storage has other bytes for the version, whatever the rows say.

    An archive with the same bytes is adopted; there is one after the database was restored from a backup.
    """
    archive = candidate.archive
    there = await storage.head(archive_key(archive.name, archive.version))
    if there is not None and there.is_removed:
        raise AlreadyPublished.removed(archive.name, archive.version)
    if there is not None and there.digest != candidate.sha256:
        raise AlreadyPublished


async def _ask_and_stage(services: Services, candidate: Candidate, upload: Upload) -> Asked:
    """Stage the archive while the database is asked whether it may be published; a large archive, afterwards.

    What was staged of a publish that is refused is removed; where that fails, garbage collection removes it.
    """
    storage, asking = services.storage, services.acceptance.ask(candidate)
    if upload.size_bytes > STAGED_UNASKED_BYTES:
        asked = await asking
        await together(_stage(storage, candidate, upload), _require_free(storage, candidate))
        return asked
    outcomes = await asyncio.gather(
        asking, _stage(storage, candidate, upload), _require_free(storage, candidate), return_exceptions=True
    )
    failure = next((outcome for outcome in outcomes if isinstance(outcome, BaseException)), None)
    if failure is None:
        return cast(Asked, outcomes[0])
    if outcomes[1] is None:  # staged
        with suppress(RegistryError):
            await storage.delete(staging_key(candidate.sha256, candidate.upload_id))
    raise failure


async def publish(services: Services, caller: Principal, upload: Upload) -> Published:
    """Publish an uploaded archive. Raises every refusal of the contract's section 4.1, in that order."""
    settings = services.settings
    await services.high_water.require()
    with publish_stage("check"):
        archive = await services.checks.check(caller.user_id, upload.path)
    bind_contextvars(package=archive.name, version=archive.version)
    caller.limits.require_package(archive.name)
    candidate = Candidate(caller, archive, upload.sha256, new_upload_id())
    with publish_stage("stage"):
        asked = await _ask_and_stage(services, candidate, upload)
    stop_at("after_stage", settings.test_stop_at)
    with publish_stage("commit"):
        accepted = await services.acceptance.accept(candidate, asked)
    log.info(
        "version_published", package=archive.name, version=archive.version, generation=accepted.generation
    )
    with publish_stage("visible"):
        is_visible = await services.visibility.wake_and_wait(
            archive.name, accepted.package_id, accepted.generation
        )
    return Published(archive.name, archive.version, upload.sha256, is_visible, accepted.conflicts)
