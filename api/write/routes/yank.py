"""POST /v1/packages/{name}/{version}/yank."""

from __future__ import annotations

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from api.write.endpoint import Auth, Endpoints, Scope
from api.write.json_body import decode_body, json_response
from api.write.path_params import path_name, path_version
from api.write.principal import Principal
from api.write.services import services_of
from api.write.visibility import VISIBLE_HEADER, visible_header
from api.write.yank import set_yanked
from shared.errors import Forbidden, NotFound
from shared.publish_errors import InvalidName, InvalidVersion

route = Endpoints()


class YankRequest(msgspec.Struct, frozen=True, kw_only=True):
    """yanked: true to yank, false to restore."""

    yanked: bool


class YankResponse(msgspec.Struct, frozen=True, kw_only=True):
    """A version and whether it is yanked."""

    ok: bool = True
    name: str
    version: str
    yanked: bool


@route.post(
    "/v1/packages/{name}/{version}/yank",
    auth=Auth.EITHER,
    scope=Scope.YANK,
    request=YankRequest,
    response=YankResponse,
    headers=(VISIBLE_HEADER,),
    errors=(InvalidName, InvalidVersion, NotFound, Forbidden),
)
async def yank(request: Request, caller: Principal) -> Response:
    """Yank or restore a version."""
    body = await decode_body(request, YankRequest)
    name, version = path_name(request), path_version(request)
    is_visible = await set_yanked(services_of(request), caller, name, version, body.yanked)
    return json_response(
        YankResponse(name=name, version=version, yanked=body.yanked), headers=visible_header(is_visible)
    )
