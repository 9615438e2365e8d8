"""The caller's API tokens: GET and POST /v1/tokens, POST /v1/tokens/{token_id}/revoke."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Final

import msgspec
from msgspec import UNSET, UnsetType
from starlette.requests import Request
from starlette.responses import Response

from api.write import tokens as domain
from api.write.credentials import new_token
from api.write.endpoint import Auth, Endpoints, Scope
from api.write.json_body import StoredText, decode_body, json_response
from api.write.path_params import path_uuid
from api.write.principal import Principal
from api.write.queries.tokens import OwnedToken
from api.write.rate_limits import Attempt
from api.write.routes.account import OkResponse
from api.write.services import services_of
from api.write.token_limits import MAX_DAYS, MAX_PATTERNS, PACKAGE_PATTERN, TokenLimits, in_days
from shared.credential_errors import ScopeInvalid, TokenGenerationFailed
from shared.errors import BadRequest, Forbidden, NotFound, UnprocessableBody
from shared.timestamps import render_timestamp

MAX_LABEL_CHARS = 256
Pattern = Annotated[str, msgspec.Meta(pattern=PACKAGE_PATTERN)]
PATTERNS: Final = msgspec.Meta(min_length=1, max_length=MAX_PATTERNS)

route = Endpoints()


class CreateTokenRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A token to create. label: a note for its owner. scopes: `publish` if none is named.

    expires_in_days or expires_at: when it ends, at most one of them. packages: the only ones that it may
    change, as names or as prefixes that end in `*`. Absent limits are those of the calling token.
    """

    label: Annotated[StoredText, msgspec.Meta(max_length=MAX_LABEL_CHARS)] = ""
    scopes: tuple[str, ...] = ()
    expires_in_days: Annotated[int, msgspec.Meta(ge=1, le=MAX_DAYS)] | UnsetType = UNSET
    expires_at: Annotated[datetime, msgspec.Meta(tz=True)] | UnsetType = UNSET
    packages: Annotated[tuple[Pattern, ...], PATTERNS] | UnsetType = UNSET

    def limits(self) -> TokenLimits:
        """The end and the packages that are asked for. Raises UnprocessableBody for two ends."""
        if self.expires_in_days is not UNSET and self.expires_at is not UNSET:
            raise UnprocessableBody("expires_in_days and expires_at exclude each other")
        limits = TokenLimits(self.expires_at or None, self.packages or None)
        return in_days(limits, self.expires_in_days or None, datetime.now(UTC))


class CreateTokenResponse(msgspec.Struct, frozen=True, kw_only=True):
    """A new token. token: its plaintext, which no later request can read. packages: null for all."""

    ok: bool = True
    token_id: str
    token: str
    scopes: tuple[str, ...]
    expires_at: str | None
    packages: tuple[str, ...] | None


class TokenInfo(msgspec.Struct, frozen=True, kw_only=True):
    """A token of the caller, without its plaintext."""

    id: str
    label: str
    scopes: tuple[str, ...]
    created_at: str
    last_used_at: str | None
    revoked_at: str | None
    expires_at: str | None
    packages: tuple[str, ...] | None


class TokensResponse(msgspec.Struct, frozen=True, kw_only=True):
    """All tokens of the caller, including revoked ones, newest first."""

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
    errors=(ScopeInvalid, Forbidden, UnprocessableBody, TokenGenerationFailed),
    limited=Attempt.TOKEN_CREATION,
)
async def create_token(request: Request, caller: Principal) -> Response:
    """Create a token. A caller grants only its own scopes, an admin any, and never wider limits."""
    body = await decode_body(request, CreateTokenRequest)
    created = await domain.create_token(
        services_of(request), caller, body.label, body.scopes, new_token(), body.limits()
    )
    return json_response(
        CreateTokenResponse(
            token_id=str(created.id),
            token=created.secret,
            scopes=created.scopes,
            expires_at=_moment(created.limits.expires_at),
            packages=created.limits.packages,
        ),
    )


@route.post(
    "/v1/tokens/{token_id}/revoke",
    auth=Auth.EITHER,
    scope=Scope.TOKEN_MANAGE,
    response=OkResponse,
    errors=(BadRequest, NotFound),
)
async def revoke_token(request: Request, caller: Principal) -> Response:
    """Revoke a token permanently. A token may revoke itself."""
    await domain.revoke_token(services_of(request), caller, path_uuid(request, "token_id"))
    return json_response(OkResponse())


def _token_info(row: OwnedToken) -> TokenInfo:
    return TokenInfo(
        id=str(row.id),
        label=row.label,
        scopes=tuple(row.scopes),
        created_at=render_timestamp(row.created_at),
        last_used_at=_moment(row.last_used_at),
        revoked_at=_moment(row.revoked_at),
        expires_at=_moment(row.expires_at),
        packages=None if row.packages is None else tuple(row.packages),
    )


def _moment(moment: datetime | None) -> str | None:
    return None if moment is None else render_timestamp(moment)
