"""Owners of a package: GET and POST /v1/packages/{name}/owners, DELETE …/owners/{handle}."""

from __future__ import annotations

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from api.write import ownership
from api.write.endpoint import Auth, Endpoints, Scope
from api.write.json_body import decode_body, json_response
from api.write.path_params import path_handle, path_name, read_handle
from api.write.principal import Principal
from api.write.publication import VISIBLE_HEADER, visible_header
from api.write.routes.account import OkResponse
from api.write.services import services_of
from shared.errors import Forbidden, InvalidName, NotFound

route = Endpoints()


class AddOwnerRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A user to make an owner."""

    handle: str


class OwnersResponse(msgspec.Struct, frozen=True, kw_only=True):
    """Who owns a package: handles in byte order."""

    ok: bool = True
    name: str
    is_official: bool
    owners: tuple[str, ...]


@route.get("/v1/packages/{name}/owners", response=OwnersResponse, errors=(InvalidName, NotFound))
async def owners(request: Request) -> Response:
    """Who owns a package."""
    name = path_name(request)
    found = await ownership.owners_of(services_of(request), name)
    return json_response(OwnersResponse(name=name, is_official=found.is_official, owners=found.handles))


@route.post(
    "/v1/packages/{name}/owners",
    auth=Auth.EITHER,
    scope=Scope.OWNER_MANAGE,
    request=AddOwnerRequest,
    response=OkResponse,
    headers=(VISIBLE_HEADER,),
    errors=(InvalidName, NotFound, Forbidden),
)
async def add_owner(request: Request, caller: Principal) -> Response:
    """Make a user an owner of a package."""
    body = await decode_body(request, AddOwnerRequest)
    name, handle = path_name(request), read_handle(body.handle)
    is_visible = await ownership.add_owner(services_of(request), caller, name, handle)
    return json_response(OkResponse(), headers=visible_header(is_visible))


@route.delete(
    "/v1/packages/{name}/owners/{handle}",
    auth=Auth.EITHER,
    scope=Scope.OWNER_MANAGE,
    response=OkResponse,
    headers=(VISIBLE_HEADER,),
    errors=(InvalidName, NotFound, Forbidden),
)
async def remove_owner(request: Request, caller: Principal) -> Response:
    """Take ownership of a package from a user; the last owner stays."""
    name, handle = path_name(request), path_handle(request)
    is_visible = await ownership.remove_owner(services_of(request), caller, name, handle)
    return json_response(OkResponse(), headers=visible_header(is_visible))
