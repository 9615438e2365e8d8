"""The caller's own credential: POST /v1/auth/token, GET /v1/account."""

from __future__ import annotations

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from api.write.endpoint import Auth, Endpoints
from api.write.json_body import json_response
from api.write.principal import Principal

NO_STORE = {"cache-control": "no-store"}

route = Endpoints()


class OkResponse(msgspec.Struct, frozen=True):
    """The request succeeded; there is nothing else to report."""

    ok: bool = True


class AccountResponse(msgspec.Struct, frozen=True, kw_only=True):
    """The account that the bearer token belongs to, and the token's scopes."""

    ok: bool = True
    user_id: str
    handle: str
    token_id: str
    scopes: tuple[str, ...]


@route.post("/v1/auth/token", auth=Auth.TOKEN, response=OkResponse)
async def check_token(request: Request, caller: Principal) -> Response:
    """Check a bearer token: 200 if it is known and not revoked."""
    return json_response(OkResponse(), headers=NO_STORE)


@route.get("/v1/account", auth=Auth.TOKEN, response=AccountResponse)
async def account(request: Request, caller: Principal) -> Response:
    """The account behind a bearer token."""
    return json_response(
        AccountResponse(
            user_id=str(caller.user_id),
            handle=caller.handle,
            token_id=str(caller.token_id),
            scopes=caller.scopes,
        ),
        headers=NO_STORE,
    )
