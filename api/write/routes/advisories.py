"""Advisories of a version: GET and POST …/advisories, POST …/advisories/{id}/withdraw."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, UnsetType
from starlette.requests import Request
from starlette.responses import Response

from api.write import advisories as domain
from api.write.advisories import AdvisoryKind, AdvisorySeverity, parse_advisory_text
from api.write.endpoint import Auth, Endpoints, Scope
from api.write.json_body import StoredText, decode_body, json_response
from api.write.path_params import path_name, path_uuid, path_version
from api.write.principal import Principal
from api.write.publication import VISIBLE_HEADER, visible_header
from api.write.queries.advisories import AdvisoryRow
from api.write.services import services_of
from shared.errors import (
    AdvisoryInvalid,
    BadRequest,
    DatabaseCorrupt,
    Forbidden,
    InvalidName,
    InvalidVersion,
    NotFound,
)
from shared.names import PackageName
from shared.timestamps import render_timestamp
from shared.versions import VersionText

ADVISORIES = "/v1/packages/{name}/{version}/advisories"

# Lengths count after trimming and have a code of their own, so they are only documented here.
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


class Advisory(msgspec.Struct, frozen=True, kw_only=True):
    """A warning about a version. withdrawn_at_utc: absent while it is in force."""

    schema_version: str = "x07.pkg.advisory@0.1.0"
    id: str
    package: str
    version: str
    kind: AdvisoryKind
    severity: AdvisorySeverity
    summary: str
    url: str | UnsetType = UNSET
    details: str | UnsetType = UNSET
    created_at_utc: str
    withdrawn_at_utc: str | UnsetType = UNSET


class AdvisoriesResponse(msgspec.Struct, frozen=True, kw_only=True):
    """The advisories of a version, withdrawn ones included, newest first."""

    ok: bool = True
    name: str
    version: str
    advisories: tuple[Advisory, ...]


class AdvisoryResponse(msgspec.Struct, frozen=True, kw_only=True):
    """One advisory after a change."""

    ok: bool = True
    advisory: Advisory


@route.get(
    ADVISORIES, response=AdvisoriesResponse, errors=(InvalidName, InvalidVersion, NotFound, DatabaseCorrupt)
)
async def advisories(request: Request) -> Response:
    """The advisories of a version."""
    name, version = path_name(request), path_version(request)
    rows = await domain.advisories_of(services_of(request), name, version)
    found = tuple(_advisory(name, version, row) for row in rows)
    return json_response(AdvisoriesResponse(name=name, version=version, advisories=found))


@route.post(
    ADVISORIES,
    auth=Auth.EITHER,
    scope=Scope.OWNER_MANAGE,
    request=CreateAdvisoryRequest,
    response=AdvisoryResponse,
    headers=(VISIBLE_HEADER,),
    errors=(InvalidName, InvalidVersion, AdvisoryInvalid, NotFound, Forbidden),
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
        AdvisoryResponse(advisory=_advisory(name, version, row)), headers=visible_header(is_visible)
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
    """Take a warning back, for good."""
    advisory_id = path_uuid(request, "id")
    name, version = path_name(request), path_version(request)
    row, is_visible = await domain.withdraw_advisory(services_of(request), caller, name, version, advisory_id)
    return json_response(
        AdvisoryResponse(advisory=_advisory(name, version, row)), headers=visible_header(is_visible)
    )


def _advisory(name: PackageName, version: VersionText, row: AdvisoryRow) -> Advisory:
    """The advisory as readers see it. Raises DatabaseCorrupt for a kind or severity that is none."""
    try:
        kind, severity = AdvisoryKind(row.kind), AdvisorySeverity(row.severity)
    except ValueError:
        raise DatabaseCorrupt("stored advisory is corrupt") from None
    return Advisory(
        id=str(row.id),
        package=name,
        version=version,
        kind=kind,
        severity=severity,
        summary=row.summary,
        url=row.url or UNSET,
        details=row.details or UNSET,
        created_at_utc=render_timestamp(row.created_at),
        withdrawn_at_utc=render_timestamp(row.withdrawn_at) if row.withdrawn_at else UNSET,
    )
