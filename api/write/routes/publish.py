"""POST /v1/packages/publish."""

from __future__ import annotations

import msgspec
from msgspec import UNSET, UnsetType
from starlette.requests import Request
from starlette.responses import Response

from api.write import publish as domain
from api.write.admission import slot_of
from api.write.endpoint import Auth, Endpoints, Scope
from api.write.json_body import json_response
from api.write.principal import Principal
from api.write.rate_limits import Attempt
from api.write.routes.dependents import DependentRequirement, dependent_requirement
from api.write.services import services_of
from api.write.upload import received_archive
from api.write.visibility import VISIBLE_HEADER, visible_header
from shared import errors, publish_errors
from shared.names import shard_path

route = Endpoints()


class PublishResponse(msgspec.Struct, frozen=True, kw_only=True):
    """An accepted version. index_path: relative to the host.

    rdep_conflicts: packages whose latest version requires this package in a range that excludes the new
    version.
    """

    ok: bool = True
    name: str
    version: str
    cksum: str
    index_path: str
    rdep_conflicts: tuple[DependentRequirement, ...] | UnsetType = UNSET


@route.post(
    "/v1/packages/publish",
    auth=Auth.TOKEN,
    scope=Scope.PUBLISH,
    is_upload=True,
    response=PublishResponse,
    headers=(VISIBLE_HEADER,),
    errors=(
        publish_errors.EmailUnverified,
        publish_errors.BodyTooLarge,
        publish_errors.BadArchive,
        publish_errors.BadManifest,
        publish_errors.SchemaVersionUnsupported,
        publish_errors.InvalidName,
        publish_errors.NameReserved,
        publish_errors.NameTooSimilar,
        publish_errors.InvalidVersion,
        publish_errors.DescriptionRequired,
        publish_errors.DocsRequired,
        publish_errors.LicenseRequired,
        publish_errors.CompatRequired,
        publish_errors.CompatInvalid,
        publish_errors.PublishLintFailed,
        publish_errors.InvalidScaleMeta,
        publish_errors.InvalidScaleEvidence,
        errors.Forbidden,
        publish_errors.AlreadyPublished,
        errors.StorageFailed,
    ),
    limited=Attempt.PUBLISH,
)
async def publish(request: Request, caller: Principal) -> Response:
    """Publish a package archive: an uncompressed tar with x07-package.json at its root."""
    services = services_of(request)
    domain.require_verified_email(services, caller)
    settings = services.settings
    with slot_of(request).of(caller.user_id), services.pace.upload(caller.user_id) as taking:
        async with received_archive(
            request, settings.spool_dir, settings.max_archive_bytes, taking
        ) as upload:
            published = await domain.publish(services, caller, upload)
    return json_response(
        PublishResponse(
            name=published.name,
            version=published.version,
            cksum=published.cksum,
            index_path=f"/index/{shard_path(published.name)}",
            rdep_conflicts=tuple(map(dependent_requirement, published.rdep_conflicts)) or UNSET,
        ),
        headers=visible_header(published.is_visible),
    )
