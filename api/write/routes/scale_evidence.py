"""POST /v1/packs/{name}/versions/{version}/scale-evidence."""

from __future__ import annotations

import msgspec
from msgspec import UNSET, UnsetType
from starlette.requests import Request
from starlette.responses import Response

from api.write.endpoint import Auth, Endpoints, Scope
from api.write.json_body import decode_body, json_response
from api.write.path_params import path_name, path_version
from api.write.principal import Principal
from api.write.scale_evidence import set_scale_evidence
from api.write.services import services_of
from api.write.visibility import VISIBLE_HEADER, visible_header
from shared.errors import Conflict, Forbidden, NotFound
from shared.publish_errors import InvalidName, InvalidScaleEvidence, InvalidVersion

route = Endpoints()


class ScaleEvidenceRequest(msgspec.Struct, frozen=True, kw_only=True):
    """evidence_ref: an https or s3 URL; the server does not fetch it."""

    evidence_ref: str


class ScaleEvidenceResponse(msgspec.Struct, frozen=True, kw_only=True):
    """The scale fields of a version. scale_test_evidence_ref: normalised."""

    ok: bool = True
    name: str
    version: str
    scale_classes_supported: tuple[str, ...] | UnsetType = UNSET
    scale_tested: bool | UnsetType = UNSET
    scale_test_evidence_ref: str | UnsetType = UNSET


@route.post(
    "/v1/packs/{name}/versions/{version}/scale-evidence",
    auth=Auth.TOKEN,
    scope=Scope.PUBLISH,
    request=ScaleEvidenceRequest,
    response=ScaleEvidenceResponse,
    headers=(VISIBLE_HEADER,),
    errors=(InvalidName, InvalidVersion, InvalidScaleEvidence, NotFound, Forbidden, Conflict),
)
async def scale_evidence(request: Request, caller: Principal) -> Response:
    """Record a reference to the evidence that a version was tested at scale."""
    body = await decode_body(request, ScaleEvidenceRequest)
    name, version = path_name(request), path_version(request)
    evidence = await set_scale_evidence(services_of(request), caller, name, version, body.evidence_ref)
    scale = evidence.scale
    return json_response(
        ScaleEvidenceResponse(
            name=name,
            version=version,
            scale_classes_supported=scale.classes or UNSET,
            scale_tested=scale.tested or UNSET,
            scale_test_evidence_ref=scale.evidence_ref or UNSET,
        ),
        headers=visible_header(evidence.is_visible),
    )
