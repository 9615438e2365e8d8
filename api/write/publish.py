"""Publishing a version: checked archive → staging → rows (acceptance.py) → a worker's wake-up.

Nothing that readers see is written here. A crash at any point leaves nothing, or staged bytes that
nobody refers to, or a dirty generation that the worker's sweep finishes.
"""

from __future__ import annotations

from dataclasses import dataclass

import structlog
from structlog.contextvars import bind_contextvars

from api.write.acceptance import Candidate
from api.write.metrics import publish_stage
from api.write.principal import Principal
from api.write.publication import published
from api.write.queries.dependents import Dependent
from api.write.services import Services
from api.write.upload import Upload
from shared.blobs import ARCHIVE_TYPE, staging_key
from shared.errors import EmailUnverified
from shared.names import PackageName
from shared.stop_points import stop_at

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
    candidate = Candidate(caller, archive, upload.sha256)
    await services.acceptance.ask(candidate)
    with publish_stage("stage"):
        await services.storage.put_file(
            staging_key(upload.sha256), upload.path, content_type=ARCHIVE_TYPE, digest=upload.sha256
        )
    stop_at("after_stage", settings.test_stop_at)
    with publish_stage("commit"):
        accepted = await services.acceptance.accept(candidate)
    log.info(
        "version_published", package=archive.name, version=archive.version, generation=accepted.generation
    )
    with publish_stage("visible"):
        is_visible = await published(services, archive.name, accepted.package_id, accepted.generation)
    return Published(archive.name, archive.version, upload.sha256, is_visible, accepted.conflicts)
