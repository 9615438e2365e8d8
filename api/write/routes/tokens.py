"""The caller's API tokens: GET and POST /v1/tokens, POST /v1/tokens/{token_id}/revoke."""

from __future__ import annotations

from typing import Annotated

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from api.write import tokens as domain
from api.write.credentials import new_secret
from api.write.endpoint import Auth, Endpoints, Scope
from api.write.json_body import StoredText, decode_body, json_response
from api.write.path_params import path_uuid
from api.write.principal import Principal
from api.write.queries.tokens import OwnedToken
from api.write.rate_limits import Attempt
from api.write.routes.account import OkResponse
from api.write.services import services_of
from shared.errors import BadRequest, Forbidden, NotFound, ScopeInvalid, TokenGenerationFailed
from shared.timestamps import render_timestamp

MAX_LABEL_CHARS = 256

route = Endpoints()


class CreateTokenRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A token to make. label: for its owner's eyes. scopes: `publish` when none is named."""

    label: Annotated[StoredText, msgspec.Meta(max_length=MAX_LABEL_CHARS)] = ""
    scopes: tuple[str, ...] = ()


class CreateTokenResponse(msgspec.Struct, frozen=True, kw_only=True):
    """A new token. token: its plaintext, which is told this once."""

    ok: bool = True
    token_id: str
    token: str
    scopes: tuple[str, ...]


class TokenInfo(msgspec.Struct, frozen=True, kw_only=True):
    """A token of the caller, without its plaintext."""

    id: str
    label: str
    scopes: tuple[str, ...]
    created_at: str
    last_used_at: str | None
    revoked_at: str | None


class TokensResponse(msgspec.Struct, frozen=True, kw_only=True):
    """All tokens of the caller, revoked ones included, newest first."""

    ok: bool = True
    tokens: tuple[TokenInfo, ...]


@route.get("/v1/tokens", auth=Auth.EITHER, scope=Scope.TOKEN_MANAGE, response=TokensResponse)
async def tokens(request: Request, caller: Principal) -> Response:
    """The caller's own tokens."""
    rows = await domain.tokens_of(services_of(request), caller)
    return json_response(TokensResponse(tokens=tuple(map(_token_info, rows))))


@route.post(
    "/v1/tokens",
    auth=Auth.EITHER,
    scope=Scope.TOKEN_MANAGE,
    request=CreateTokenRequest,
    response=CreateTokenResponse,
    errors=(ScopeInvalid, Forbidden, TokenGenerationFailed),
    limited=Attempt.TOKEN_CREATION,
)
async def create_token(request: Request, caller: Principal) -> Response:
    """Make a token; a caller grants only scopes that it holds, an admin any."""
    body = await decode_body(request, CreateTokenRequest)
    created = await domain.create_token(
        services_of(request), caller, body.label, body.scopes, new_secret("x07t_")
    )
    return json_response(
        CreateTokenResponse(token_id=str(created.id), token=created.secret, scopes=created.scopes),
    )


@route.post(
    "/v1/tokens/{token_id}/revoke",
    auth=Auth.EITHER,
    scope=Scope.TOKEN_MANAGE,
    response=OkResponse,
    errors=(BadRequest, NotFound),
)
async def revoke_token(request: Request, caller: Principal) -> Response:
    """Revoke a token, for good; a token may revoke itself."""
    await domain.revoke_token(services_of(request), caller, path_uuid(request, "token_id"))
    return json_response(OkResponse())


def _token_info(row: OwnedToken) -> TokenInfo:
    return TokenInfo(
        id=str(row.id),
        label=row.label,
        scopes=tuple(row.scopes),
        created_at=render_timestamp(row.created_at),
        last_used_at=render_timestamp(row.last_used_at) if row.last_used_at else None,
        revoked_at=render_timestamp(row.revoked_at) if row.revoked_at else None,
    )
