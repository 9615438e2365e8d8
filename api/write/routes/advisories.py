"""Advisories of a version: GET and POST …/advisories, POST …/advisories/{id}/withdraw."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta
from starlette.requests import Request
from starlette.responses import Response

from api.write import advisories as domain
from api.write.advisories import parse_advisory_text
from api.write.endpoint import Auth, Endpoints, Scope
from api.write.json_body import StoredText, decode_body, json_response
from api.write.path_params import path_name, path_uuid, path_version
from api.write.principal import Principal
from api.write.services import services_of
from api.write.stored_document import stored_document
from api.write.visibility import VISIBLE_HEADER, visible_header
from shared.advisory import AdvisoryKind, AdvisorySeverity
from shared.blobs import advisories_key
from shared.errors import (
    AdvisoryInvalid,
    BadRequest,
    DatabaseCorrupt,
    Forbidden,
    NotFound,
    StorageFailed,
    TooManyAdvisories,
)
from shared.package_documents import Advisory, AdvisoryList, advisory_of
from shared.publish_errors import InvalidName, InvalidVersion

ADVISORIES = "/v1/packages/{name}/{version}/advisories"

# The code checks lengths after trimming, with errors of its own; here they are only documented.
_Summary = Annotated[
    StoredText, Meta(extra_json_schema={"minLength": 1, "maxLength": domain.MAX_SUMMARY_CHARS})
]
_Details = Annotated[StoredText, Meta(extra_json_schema={"maxLength": domain.MAX_DETAILS_BYTES})]
_Url = Annotated[StoredText, Meta(extra_json_schema={"format": "uri", "maxLength": domain.MAX_URL_BYTES})]

route = Endpoints()


class CreateAdvisoryRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A warning about a version."""

    kind: AdvisoryKind
    severity: AdvisorySeverity
    summary: _Summary
    url: _Url | None = None
    details: _Details | None = None


class AdvisoryResponse(msgspec.Struct, frozen=True, kw_only=True):
    """One advisory after a change."""

    ok: bool = True
    advisory: Advisory


@route.get(
    ADVISORIES,
    shows_packages=True,
    response=AdvisoryList,
    is_cached=True,
    errors=(InvalidName, InvalidVersion, NotFound, StorageFailed),
)
async def advisories(request: Request) -> Response:
    """The advisories of a version."""
    name, version = path_name(request), path_version(request)
    return await stored_document(request, advisories_key(name, version))


@route.post(
    ADVISORIES,
    auth=Auth.EITHER,
    scope=Scope.OWNER_MANAGE,
    request=CreateAdvisoryRequest,
    response=AdvisoryResponse,
    headers=(VISIBLE_HEADER,),
    errors=(InvalidName, InvalidVersion, AdvisoryInvalid, NotFound, Forbidden, TooManyAdvisories),
)
async def create_advisory(request: Request, caller: Principal) -> Response:
    """Warn about a version."""
    body = await decode_body(request, CreateAdvisoryRequest)
    name, version = path_name(request), path_version(request)
    text = parse_advisory_text(body.summary, body.url, body.details)
    row, is_visible = await domain.create_advisory(
        services_of(request), caller, name, version, body.kind, body.severity, text
    )
    return json_response(
        AdvisoryResponse(advisory=advisory_of(name, version, row)), headers=visible_header(is_visible)
    )


@route.post(
    f"{ADVISORIES}/{{id}}/withdraw",
    auth=Auth.EITHER,
    scope=Scope.OWNER_MANAGE,
    response=AdvisoryResponse,
    headers=(VISIBLE_HEADER,),
    errors=(BadRequest, InvalidName, InvalidVersion, NotFound, Forbidden, DatabaseCorrupt),
)
async def withdraw_advisory(request: Request, caller: Principal) -> Response:
    """Withdraw an advisory permanently."""
    advisory_id = path_uuid(request, "id")
    name, version = path_name(request), path_version(request)
    row, is_visible = await domain.withdraw_advisory(services_of(request), caller, name, version, advisory_id)
    return json_response(
        AdvisoryResponse(advisory=advisory_of(name, version, row)), headers=visible_header(is_visible)
    )
