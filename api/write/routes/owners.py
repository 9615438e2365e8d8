"""Owners of a package: GET and POST /v1/packages/{name}/owners, DELETE …/owners/{handle}."""

from __future__ import annotations

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from api.write import ownership
from api.write.endpoint import Auth, Endpoints, Scope
from api.write.json_body import decode_body, json_response
from api.write.path_params import path_handle, path_name
from api.write.principal import Principal
from api.write.routes.account import OkResponse
from api.write.services import services_of
from api.write.stored_document import stored_document
from api.write.visibility import VISIBLE_HEADER, visible_header
from shared.blobs import owners_key
from shared.errors import Forbidden, NotFound, StorageFailed
from shared.names import read_handle
from shared.package_documents import OwnerList
from shared.publish_errors import InvalidName

route = Endpoints()


class AddOwnerRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A user to make an owner."""

    handle: str


@route.get(
    "/v1/packages/{name}/owners",
    shows_packages=True,
    response=OwnerList,
    is_cached=True,
    errors=(InvalidName, NotFound, StorageFailed),
)
async def owners(request: Request) -> Response:
    """List the owners of a package."""
    name = path_name(request)
    return await stored_document(request, owners_key(name))


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
    """Remove an owner of a package. The last owner cannot be removed."""
    name, handle = path_name(request), path_handle(request)
    is_visible = await ownership.remove_owner(services_of(request), caller, name, handle)
    return json_response(OkResponse(), headers=visible_header(is_visible))
